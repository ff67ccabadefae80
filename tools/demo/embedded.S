/* The embedded demonstration, linked into the program as it lies in this folder. */
#if defined(__APPLE__)
#define NAME(x) _##x
        .const
#else
#define NAME(x) x
        .section .rodata
#endif

#define EMBED(name, file)               \
        .globl NAME(name)             ; \
        .globl NAME(name##_end)       ; \
        .balign 64                    ; \
NAME(name):                             \
        .incbin file                  ; \
NAME(name##_end):                       \
        .byte 0

EMBED(rr_demo_movies, "tools/demo/movies.dat")
EMBED(rr_demo_ratings, "tools/demo/ratings.dat")
EMBED(rr_demo_model, "tools/demo/model.gguf")

#if defined(__linux__) && defined(__ELF__)
        .section .note.GNU-stack, "", %progbits
#endif
