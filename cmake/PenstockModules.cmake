# One library target a module. `penstock_module(shm SOURCES a.cc LINKS penstock_base)`
# makes target penstock_shm; a module may include only what it links.
set(PENSTOCK_SANITIZE "" CACHE STRING "Sanitizers to build with, as -fsanitize= takes them")
option(PENSTOCK_CRASH_POINTS "Compile the named crash points in" OFF)

add_library(penstock_flags INTERFACE)
target_compile_options(penstock_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion
  -Wnon-virtual-dtor -Woverloaded-virtual -Wimplicit-fallthrough -Werror
  -Wno-psabi -fno-omit-frame-pointer
  # GCC 12's own stable_sort uses what GCC 12 has deprecated; clang says so of its users.
  $<$<CXX_COMPILER_ID:Clang>:-Wno-deprecated-declarations>)
target_include_directories(penstock_flags INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>)
if(PENSTOCK_SANITIZE)
  target_compile_options(penstock_flags INTERFACE
    -fsanitize=${PENSTOCK_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(penstock_flags INTERFACE -fsanitize=${PENSTOCK_SANITIZE})
endif()
if(PENSTOCK_CRASH_POINTS)
  target_compile_definitions(penstock_flags INTERFACE PENSTOCK_CRASH_POINTS=1)
endif()

# The outside headers that nearly every file includes, parsed once: this halves the time of
# a build. Libraries are compiled as -fPIC and programs as -fPIE, so there are two.
set(PENSTOCK_HEAVY_HEADERS
  <atomic> <functional> <memory> <mutex> <optional> <span> <string> <string_view> <thread>
  <vector> <absl/container/flat_hash_map.h> <absl/status/status.h> <absl/status/statusor.h>
  <absl/time/time.h> <fmt/format.h>)
set(CMAKE_PCH_WARN_INVALID OFF)  # where it does not fit, the headers are parsed as ever
# CONFIGURE: written only when it differs, so that a second build has nothing to do.
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/generated/heavy_headers.cc
     CONTENT "// Carries the headers.\n")
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/generated/heavy_headers_main.cc
     CONTENT "int main() {}\n")
add_library(penstock_library_headers STATIC ${PROJECT_BINARY_DIR}/generated/heavy_headers.cc)
add_executable(penstock_program_headers
  ${PROJECT_BINARY_DIR}/generated/heavy_headers_main.cc)
foreach(carrier penstock_library_headers penstock_program_headers)
  target_link_libraries(${carrier} PRIVATE penstock_flags absl::status absl::statusor
                        absl::time absl::flat_hash_map fmt::fmt)
  target_precompile_headers(${carrier} PRIVATE ${PENSTOCK_HEAVY_HEADERS})
endforeach()
target_precompile_headers(penstock_program_headers PRIVATE <gtest/gtest.h>)

function(penstock_module name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS;PRIVATE_LINKS" ${ARGN})
  add_library(penstock_${name} STATIC ${ARG_SOURCES})
  target_link_libraries(penstock_${name}
    PUBLIC ${ARG_LINKS}
    PRIVATE $<BUILD_INTERFACE:penstock_flags> ${ARG_PRIVATE_LINKS})
  target_include_directories(penstock_${name} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>)
  target_precompile_headers(penstock_${name} REUSE_FROM penstock_library_headers)
endfunction()

function(penstock_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE penstock_flags ${ARG_LINKS})
  target_precompile_headers(${name} REUSE_FROM penstock_program_headers)
endfunction()

# A test program whose cases ctest lists one by one.
include(GoogleTest)
function(penstock_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT;PREFIX" "SOURCES;LINKS;LABELS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  penstock_program(${name} SOURCES ${ARG_SOURCES}
                   LINKS ${ARG_LINKS} GTest::gtest GTest::gtest_main)
  gtest_discover_tests(${name} TEST_PREFIX "${ARG_PREFIX}" DISCOVERY_TIMEOUT 60
    PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}")
endfunction()
