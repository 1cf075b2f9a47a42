# The tests of what `cmake --install` gives; included from tests/CMakeLists.txt.
add_test(NAME "consumer builds against the installed copy and runs"
         COMMAND ${CMAKE_CURRENT_LIST_DIR}/run.sh ${PROJECT_BINARY_DIR})
add_test(NAME "the README's programs are those that are built and run"
         COMMAND ${CMAKE_CURRENT_LIST_DIR}/readme.sh)
set_tests_properties(
  "consumer builds against the installed copy and runs"
  "the README's programs are those that are built and run"
  PROPERTIES LABELS release-only TIMEOUT 300)
