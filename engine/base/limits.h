/* Every cap on input, in one place. They bound time and memory before anything is allocated, and
 * are far above what real files hold (see spec/hostile-input.md, section 2). */
#ifndef RR_LIMITS_H
#define RR_LIMITS_H

#define RR_MAX_GGUF_METADATA (256u << 20) /* bytes before the tensor data */
#define RR_MAX_GGUF_KV 65536u
#define RR_MAX_TENSORS 65536u
#define RR_MAX_KEY 65535u
#define RR_MAX_STRING (16u << 20)
#define RR_MAX_ARRAY (1u << 28) /* bytes */
#define RR_MAX_TENSOR_NAME 256u
#define RR_MAX_GGUF_TENSOR_NAME 63u
#define RR_MAX_ALIGNMENT 65536u
#define RR_MAX_JSON_DEPTH 64
#define RR_MAX_SAFETENSORS_HEADER 100000000u
#define RR_MAX_SAFETENSORS_DIMS 8
#define RR_MAX_CONFIG_FILE (16u << 20)
#define RR_MAX_VOCAB (1u << 24)
#define RR_MAX_ADDED (1u << 14) /* tokens beside a tokenizer's file */
#define RR_MAX_PIECE 65536u
#define RR_MAX_LAYERS 1024
#define RR_MAX_HEADS 1024
#define RR_MAX_EMBD (1 << 20)
#define RR_MAX_CONTEXT (1 << 22)
#define RR_MAX_THREADS 64
#define RR_MAX_LINE (1u << 20) /* one line of a data file */
#define RR_MAX_USERS (1u << 27)
#define RR_MAX_ITEMS (1u << 27)
#define RR_MAX_RATINGS (1u << 28)

#endif
