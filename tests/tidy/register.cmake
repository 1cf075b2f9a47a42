# The tests of the tree's tidiness; included from tests/CMakeLists.txt.
add_test(NAME "every source file opens with its purpose and stays within its limits"
         COMMAND ${CMAKE_CURRENT_LIST_DIR}/check.sh)
add_test(NAME "the tidy check finds each kind of fault"
         COMMAND ${CMAKE_CURRENT_LIST_DIR}/self_test.sh)
set_tests_properties(
  "every source file opens with its purpose and stays within its limits"
  "the tidy check finds each kind of fault"
  PROPERTIES LABELS release-only TIMEOUT 60)
