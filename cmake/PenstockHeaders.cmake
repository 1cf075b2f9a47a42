# Headers that many files include, parsed once for each kind of file: an empty test costs 0.4 s
# of a compiler with them and 1.8 s without.
#
# A compiler takes them only where they were parsed under the same macros and options, which
# is why there is one set for each kind, and why a set that does not fit is an error
# (-Winvalid-pch) and not a slow build that nobody notices. The level of optimisation has to be
# the same too: GCC 12 takes headers of another one and then crashes now and then.
#
# Library code is compiled as -fPIC, programs and tests as -fPIE. Tests are compiled one level of
# optimisation lower than the code under test, which is compiled apart: a third of their time.
# They have no UBSan beside the address sanitizer, and neither has what headers bring into them;
# the daemon and the simulator, with the same headers, have it. Tests of the runtime keep both,
# because most of that is templates.
#
# A set costs 5 to 10 s itself, and every file of its kind pays for what is in it: CLI11's inline
# functions made a file 5 s dearer. Sets with JSON, with spdlog and with the runtime for the
# tools, the daemon and the bench were tried and brought nothing.
#
# A target takes its set with penstock_use_headers; its sources still name all that they use.
set(CMAKE_PCH_WARN_INVALID ON)

# What each set is parsed with.
set(PENSTOCK_EVERYWHERE
  <atomic> <functional> <memory> <mutex> <optional> <span> <string> <string_view> <thread>
  <vector> <absl/container/flat_hash_map.h> <absl/status/status.h> <absl/status/statusor.h>
  <absl/time/time.h> <fmt/format.h>)

# The level below the preset's. Unit tests keep theirs under the thread sanitizer: they work in
# loops, which then take three times as long.
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  set(PENSTOCK_LOWER_OPTIMISATION -O1)
elseif(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  set(PENSTOCK_LOWER_OPTIMISATION -O0)
endif()
set(PENSTOCK_UNIT_TEST_OPTIMISATION ${PENSTOCK_LOWER_OPTIMISATION})
if(PENSTOCK_SANITIZE MATCHES "thread")
  unset(PENSTOCK_UNIT_TEST_OPTIMISATION)
endif()

function(penstock_compile_for_programs target)
  set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  target_compile_options(${target} PRIVATE -fPIE)
endfunction()

# penstock_headers(<set> [LIBRARY] [WITHOUT_UBSAN] [OPTIMISATION -O?] HEADERS ... LINKS ...):
# those of everywhere, and more. The flags hold for every target that takes the set.
function(penstock_headers set)
  cmake_parse_arguments(ARG "LIBRARY;WITHOUT_UBSAN" "OPTIMISATION" "HEADERS;LINKS" ${ARGN})
  set(carrier penstock_headers_${set})
  # CONFIGURE: written only when it differs, so that a second build has nothing to do.
  file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/generated/headers_of_${set}.cc
       CONTENT "// Carries the headers.\n")
  add_library(${carrier} OBJECT ${PROJECT_BINARY_DIR}/generated/headers_of_${set}.cc)
  set_target_properties(${carrier} PROPERTIES PENSTOCK_OPTIMISATION "${ARG_OPTIMISATION}"
                        PENSTOCK_WITHOUT_UBSAN "${ARG_WITHOUT_UBSAN}")
  target_link_libraries(${carrier} PRIVATE penstock_flags absl::status absl::statusor
                        absl::time absl::flat_hash_map fmt::fmt ${ARG_LINKS})
  if(NOT ARG_LIBRARY)
    penstock_compile_for_programs(${carrier})
  endif()
  target_compile_options(${carrier} PRIVATE ${ARG_OPTIMISATION})
  target_precompile_headers(${carrier} PRIVATE ${PENSTOCK_EVERYWHERE} ${ARG_HEADERS})
endfunction()

# Sources that run once in a program's life, half as dear to compile one level lower. The parsed
# headers do not fit there.
function(penstock_cold_sources)
  if(PENSTOCK_LOWER_OPTIMISATION)
    set_source_files_properties(${ARGN} PROPERTIES SKIP_PRECOMPILE_HEADERS ON
                                COMPILE_OPTIONS ${PENSTOCK_LOWER_OPTIMISATION})
  endif()
endfunction()

function(penstock_use_headers target set)
  get_target_property(optimisation penstock_headers_${set} PENSTOCK_OPTIMISATION)
  if(optimisation)
    target_compile_options(${target} PRIVATE ${optimisation})
  endif()
  get_target_property(without_ubsan penstock_headers_${set} PENSTOCK_WITHOUT_UBSAN)
  set_target_properties(${target} PROPERTIES PENSTOCK_WITHOUT_UBSAN ${without_ubsan})
  target_precompile_headers(${target} REUSE_FROM penstock_headers_${set})
endfunction()

penstock_headers(library LIBRARY)
penstock_headers(runtime LIBRARY
  HEADERS <msgpack.hpp> ${PROJECT_SOURCE_DIR}/runtime/process/process.h
  LINKS penstock_client penstock_channel penstock_node_wire msgpackc-cxx)
target_include_directories(penstock_headers_runtime PRIVATE
  ${PROJECT_SOURCE_DIR}/runtime/include)
penstock_headers(program)
penstock_headers(sim HEADERS <gtest/gtest.h> LINKS GTest::gtest)
penstock_headers(unit_test WITHOUT_UBSAN OPTIMISATION ${PENSTOCK_UNIT_TEST_OPTIMISATION}
  HEADERS <gtest/gtest.h> ${PROJECT_SOURCE_DIR}/tests/support/fake_client.h
  LINKS penstock_object GTest::gtest)
penstock_headers(integration_test WITHOUT_UBSAN OPTIMISATION ${PENSTOCK_LOWER_OPTIMISATION}
  HEADERS ${PROJECT_SOURCE_DIR}/tests/integration/helpers.h
  LINKS penstock_client GTest::gtest)
penstock_headers(runtime_test OPTIMISATION ${PENSTOCK_LOWER_OPTIMISATION}
  HEADERS <penstock/array_value.h> <penstock/runtime.h>
          ${PROJECT_SOURCE_DIR}/tests/integration/helpers.h
  LINKS penstock_runtime GTest::gtest)
