# Copies SOURCE to COPY with the text BEFORE replaced by AFTER: a planted bug. Fails when the
# text is not there, so that a plant never silently plants nothing.
function(plant_bug source copy before after)
  file(READ ${source} text)
  string(REPLACE "${before}" "${after}" planted "${text}")
  if(planted STREQUAL text)
    message(FATAL_ERROR "${source} has no text to plant a bug in: ${before}")
  endif()
  file(CONFIGURE OUTPUT ${copy} CONTENT "${planted}" @ONLY)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
endfunction()
