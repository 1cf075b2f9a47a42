# Tests of the scripts in tools/; included from tests/CMakeLists.txt.
add_test(NAME "tools/test --budget ends in time and counts what it left out"
         COMMAND ${CMAKE_CURRENT_LIST_DIR}/budget_test.sh)
set_tests_properties("tools/test --budget ends in time and counts what it left out"
  PROPERTIES LABELS release-only TIMEOUT 120)
