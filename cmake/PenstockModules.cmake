# One library target a module. `penstock_module(shm SOURCES a.cc LINKS penstock_base)`
# makes target penstock_shm; a module may include only what it links.
set(PENSTOCK_SANITIZE "" CACHE STRING "Sanitizers to build with, as -fsanitize= takes them")
option(PENSTOCK_CRASH_POINTS "Compile the named crash points in" OFF)

add_library(penstock_flags INTERFACE)
target_compile_options(penstock_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion
  -Wnon-virtual-dtor -Woverloaded-virtual -Wimplicit-fallthrough -Werror
  -Wno-psabi -fno-omit-frame-pointer)
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

function(penstock_module name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS;PRIVATE_LINKS" ${ARGN})
  add_library(penstock_${name} STATIC ${ARG_SOURCES})
  target_link_libraries(penstock_${name}
    PUBLIC ${ARG_LINKS}
    PRIVATE $<BUILD_INTERFACE:penstock_flags> ${ARG_PRIVATE_LINKS})
  target_include_directories(penstock_${name} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>)
endfunction()

function(penstock_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE penstock_flags ${ARG_LINKS})
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
