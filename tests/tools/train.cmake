set(tools ${PROJECT_SOURCE_DIR}/tools)
kolo_test(sha256 SOURCES sha256_test.c ${tools}/sha256.c)
kolo_test(train_text SOURCES train_text_test.c ${tools}/train_text.c)
kolo_test(train_model SOURCES train_model_test.c ${tools}/train_model.c ${tools}/train_adam.c ${tools}/train_blas.c
                      LIBRARIES kolo_base kolo_memory ${CMAKE_DL_LIBS})
if(TARGET kolo_tool)
    add_test(NAME train COMMAND ${KOLO_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/train_test.py $<TARGET_FILE:kolo_tool>)
    set_tests_properties(train PROPERTIES TIMEOUT 180)
endif()
