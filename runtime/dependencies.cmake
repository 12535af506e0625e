# What kolo builds with. Required: threads, hwloc. Optional, detected: verbs, CUDA.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(HWLOC REQUIRED IMPORTED_TARGET hwloc>=2.0)

foreach(option KOLO_VERBS KOLO_CUDA)
    if(NOT ${option} MATCHES "^(auto|on|off)$")
        message(FATAL_ERROR "${option}=${${option}} is none of: auto, on, off")
    endif()
endforeach()

# Where verbs are found, code that speaks of them is compiled with KOLO_HAVE_VERBS=1 (kolo_options), and the box kolo_verbs exists.
# 1.11 (rdma-core 34, 2021) brought registration by dma-buf.
set(KOLO_HAVE_VERBS OFF)
if(NOT KOLO_VERBS STREQUAL "off")
    pkg_check_modules(VERBS IMPORTED_TARGET libibverbs>=1.11 librdmacm>=1.3)
    set(KOLO_HAVE_VERBS ${VERBS_FOUND})
    if(KOLO_VERBS STREQUAL "on" AND NOT VERBS_FOUND)
        message(FATAL_ERROR "KOLO_VERBS=on but libibverbs (1.11) or librdmacm (1.3) is missing: install libibverbs-dev librdmacm-dev, "
                            "or use KOLO_VERBS=off")
    endif()
endif()

set(KOLO_HAVE_CUDA OFF)
if(NOT KOLO_CUDA STREQUAL "off")
    find_package(CUDAToolkit QUIET)
    set(KOLO_HAVE_CUDA ${CUDAToolkit_FOUND})
    if(KOLO_CUDA STREQUAL "on" AND NOT CUDAToolkit_FOUND)
        message(FATAL_ERROR "KOLO_CUDA=on but the CUDA toolkit is missing: put nvcc on PATH, or use KOLO_CUDA=off")
    endif()
endif()
message(STATUS "kolo: verbs ${KOLO_VERBS} (found: ${KOLO_HAVE_VERBS}), cuda ${KOLO_CUDA} (found: ${KOLO_HAVE_CUDA})")
