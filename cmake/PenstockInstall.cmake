# What `cmake --install` puts where, so that another project can say
# find_package(Penstock) and link Penstock::client or Penstock::runtime.
include(CMakePackageConfigHelpers)

# The modules that a target links, directly or not, and itself.
function(penstock_modules_of target out)
  set(found ${${out}})
  if(NOT target IN_LIST found)
    list(APPEND found ${target})
    get_target_property(links ${target} LINK_LIBRARIES)
    list(FILTER links INCLUDE REGEX "^penstock_")
    foreach(link IN LISTS links)
      penstock_modules_of(${link} found)
    endforeach()
  endif()
  set(${out} ${found} PARENT_SCOPE)
endfunction()

set(PENSTOCK_INSTALLED_MODULES "")
penstock_modules_of(penstock_client PENSTOCK_INSTALLED_MODULES)
penstock_modules_of(penstock_runtime PENSTOCK_INSTALLED_MODULES)
foreach(module IN LISTS PENSTOCK_INSTALLED_MODULES)
  string(REGEX REPLACE "^penstock_" "" short ${module})
  set_target_properties(${module} PROPERTIES EXPORT_NAME ${short})
  target_compile_features(${module} PUBLIC cxx_std_20)
  if(NOT TARGET Penstock::${short})
    add_library(Penstock::${short} ALIAS ${module})
  endif()
endforeach()

set(PENSTOCK_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/Penstock)
install(TARGETS ${PENSTOCK_INSTALLED_MODULES} EXPORT PenstockTargets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT PenstockTargets NAMESPACE Penstock:: DESTINATION ${PENSTOCK_CMAKE_DIR})
install(DIRECTORY client/include/penstock store/base/include/penstock runtime/include/penstock
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(TARGETS penstockd penstock penstock-bench
        RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES LICENSE README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})

configure_package_config_file(
  cmake/PenstockConfig.cmake.in ${CMAKE_BINARY_DIR}/PenstockConfig.cmake
  INSTALL_DESTINATION ${PENSTOCK_CMAKE_DIR})
# Below 1.0 a minor version may change the API.
write_basic_package_version_file(
  ${CMAKE_BINARY_DIR}/PenstockConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/PenstockConfig.cmake
              ${CMAKE_BINARY_DIR}/PenstockConfigVersion.cmake
        DESTINATION ${PENSTOCK_CMAKE_DIR})
