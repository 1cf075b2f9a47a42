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
    -fsanitize=${PENSTOCK_SANITIZE} -fno-sanitize-recover=all
    # What the address sanitizer finds by itself when the memory is touched, at a third of the
    # time of a compilation; the fuzz targets, by clang, have these checks too.
    $<$<CXX_COMPILER_ID:GNU>:-fno-sanitize=null,object-size,pointer-overflow>
    $<$<BOOL:$<TARGET_PROPERTY:PENSTOCK_WITHOUT_UBSAN>>:-fno-sanitize=undefined>)
  target_link_options(penstock_flags INTERFACE -fsanitize=${PENSTOCK_SANITIZE})
endif()
if(PENSTOCK_CRASH_POINTS)
  target_compile_definitions(penstock_flags INTERFACE PENSTOCK_CRASH_POINTS=1)
endif()

include(PenstockHeaders)

# HEADERS: which parsed headers it starts from (PenstockHeaders.cmake). FOR_PROGRAMS: its code
# is for programs of this project only, so it is compiled as theirs and may take their headers.
function(penstock_module name)
  cmake_parse_arguments(ARG "FOR_PROGRAMS" "HEADERS" "SOURCES;LINKS;PRIVATE_LINKS" ${ARGN})
  if(NOT ARG_HEADERS AND ARG_FOR_PROGRAMS)
    set(ARG_HEADERS program)
  elseif(NOT ARG_HEADERS)
    set(ARG_HEADERS library)
  endif()
  add_library(penstock_${name} STATIC ${ARG_SOURCES})
  target_link_libraries(penstock_${name}
    PUBLIC ${ARG_LINKS}
    PRIVATE $<BUILD_INTERFACE:penstock_flags> ${ARG_PRIVATE_LINKS})
  target_include_directories(penstock_${name} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>)
  if(ARG_FOR_PROGRAMS)
    penstock_compile_for_programs(penstock_${name})
  endif()
  penstock_use_headers(penstock_${name} ${ARG_HEADERS})
endfunction()

function(penstock_program name)
  cmake_parse_arguments(ARG "" "HEADERS" "SOURCES;LINKS" ${ARGN})
  if(NOT ARG_HEADERS)
    set(ARG_HEADERS program)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE penstock_flags ${ARG_LINKS})
  penstock_use_headers(${name} ${ARG_HEADERS})
endfunction()

# A test program whose cases ctest lists one by one.
include(GoogleTest)
function(penstock_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT;PREFIX;HEADERS" "SOURCES;LINKS;LABELS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  if(NOT ARG_HEADERS)
    set(ARG_HEADERS unit_test)
  endif()
  penstock_program(${name} HEADERS ${ARG_HEADERS} SOURCES ${ARG_SOURCES}
                   LINKS ${ARG_LINKS} GTest::gtest GTest::gtest_main)
  gtest_discover_tests(${name} TEST_PREFIX "${ARG_PREFIX}" DISCOVERY_TIMEOUT 60
    PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}")
endfunction()
