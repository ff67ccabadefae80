#!/usr/bin/python3
"""What coarser scales would cost: RMS logit error of ../shared/golden/gguf/tiny-Q8_0.gguf against float64 when activations
have one scale for a block of 32 (as recrank's integer products), or for a row, and weights one for a row (as if repacked).

    /usr/bin/python3 bench/row_int8.py ../shared      # Debian's python3-numpy
"""
import json, os, re, struct, sys
import numpy as np

shared = sys.argv[1] if len(sys.argv) > 1 else "../shared"
ORACLE = os.path.join(shared, "oracle", "llama_reference.py")


def rounded(x, n):
    """x in integers of -127 .. 127 with a scale for every n numbers; n = 0: for a row."""
    blocks = np.ascontiguousarray(x).reshape(-1, n or x.shape[-1])
    d = np.abs(blocks).max(-1, keepdims=True) / 127
    d[d == 0] = 1
    return (np.round(blocks / d) * d).reshape(x.shape)


def read_gguf(path):
    data, at = open(path, "rb").read(), 8
    kinds = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

    def number(kind):
        nonlocal at
        at += struct.calcsize("<" + kind)
        return struct.unpack_from("<" + kind, data, at - struct.calcsize("<" + kind))[0]

    def text():
        nonlocal at
        n = number("Q")
        at += n
        return data[at - n:at].decode("utf8", "replace")

    def value(kind):
        if kind == 9:
            kind = number("I")
            return [value(kind) for _ in range(number("Q"))]
        return text() if kind == 8 else number(kinds[kind])

    n_tensors, n_keys = number("Q"), number("Q")
    keys = {}
    for _ in range(n_keys):
        name = text()
        keys[name] = value(number("I"))
    infos = []
    for _ in range(n_tensors):
        name = text()
        shape = [number("Q") for _ in range(number("I"))][::-1]
        infos.append((name, shape, number("I"), number("Q")))
    base, tensors = (at + 31) // 32 * 32, {}
    for name, shape, kind, offset in infos:
        n = int(np.prod(shape))
        if kind == 0:
            tensors[name] = np.frombuffer(data, "<f4", n, base + offset).astype(float).reshape(shape)
        elif kind == 1:
            tensors[name] = np.frombuffer(data, "<f2", n, base + offset).astype(float).reshape(shape)
        elif kind == 30:  # BF16
            words = np.frombuffer(data, "<u2", n, base + offset).astype(np.uint32) << 16
            tensors[name] = words.view("<f4").astype(float).reshape(shape)
        else:  # Q8_0
            z = np.frombuffer(data, np.dtype([("d", "<f2"), ("q", "i1", 32)]), n // 32, base + offset)
            tensors[name] = (z["d"].astype(float)[:, None] * z["q"]).reshape(shape)
    return keys, tensors


def as_hugging_face(tensors, heads, kv_heads):
    names = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
             "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
             "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
    whole = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight",
             "output.weight": "lm_head.weight"}
    out = {}
    for name, v in tensors.items():
        if name in whole:
            out[whole[name]] = v
            continue
        _, layer, part, _ = name.split(".")
        if part in ("attn_q", "attn_k"):
            n = heads if part == "attn_q" else kv_heads
            v = v.reshape(n, -1, 2, v.shape[1]).swapaxes(1, 2).reshape(v.shape)
        out[f"model.layers.{layer}.{names[part]}.weight"] = v
    return out


def oracle(round_activations):
    """The oracle's forward, with every input of a product rounded."""
    source = open(ORACLE).read()
    source = re.sub(r"(\b[ho]\b|\(g / \(1 \+ np.exp\(-g\)\) \* u\)) @ (w\[p)", r"ROUND(\1) @ \2", source)
    source = source.replace('return x @ (w["model', 'return ROUND(x) @ (w["model')
    assert source.count("ROUND(") == 8
    space = {"__name__": "oracle", "ROUND": round_activations}
    exec(compile(source, ORACLE, "exec"), space)
    return space["forward"]


def golden(name):
    """A model of golden/gguf: its weights and settings as the oracle takes them, the tokens, the logits."""
    folder = os.path.join(shared, "golden", "gguf")
    keys, tensors = read_gguf(os.path.join(folder, name + ".gguf"))
    cfg = {"hidden_size": keys["llama.embedding_length"], "num_hidden_layers": keys["llama.block_count"],
           "num_attention_heads": keys["llama.attention.head_count"],
           "num_key_value_heads": keys["llama.attention.head_count_kv"],
           "rms_norm_eps": keys["llama.attention.layer_norm_rms_epsilon"],
           "rope_theta": keys.get("llama.rope.freq_base", 10000.0)}
    weights = as_hugging_face(tensors, cfg["num_attention_heads"], cfg["num_key_value_heads"])
    tokens = json.load(open(os.path.join(folder, "expected.json")))["tokens"]
    return weights, cfg, tokens, np.fromfile(os.path.join(folder, name + ".logits.f32"), "<f4").reshape(len(tokens), -1)


def main():
    weights, cfg, tokens, truth = golden("tiny-Q8_0")
    for of_x, of_w in ((32, 32), (0, 32), (32, 0), (0, 0)):
        w = {k: rounded(v, 0) if v.ndim == 2 and not of_w else v for k, v in weights.items()}
        error = oracle(lambda x: rounded(x, of_x))(w, cfg, tokens) - truth
        print(f"activations per {'block of 32' if of_x else 'row':11}  weights per {'block of 32' if of_w else 'row':11}  "
              f"RMS {np.sqrt((error ** 2).mean()):.4f}  max {np.abs(error).max():.3f}")


if __name__ == "__main__":
    main()
