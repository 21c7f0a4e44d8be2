// MOXIE_CLONES before a function: compiled for each of these processors too, and chosen when the
// program starts. For loops of plain C++ that the compiler vectorizes; what such a function calls
// must be inlined into it. Every clone gives the same bits unless the loop itself allows another
// order (omp simd reduction). Only for GCC, which builds what is delivered, and not under a
// sanitizer: the choice is made while the program is being linked, before a sanitizer's memory
// exists.
#pragma once

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
#define MOXIE_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define MOXIE_CLONES
#endif
