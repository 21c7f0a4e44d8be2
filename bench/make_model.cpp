// make_model SHAPE TYPE OUT: a synthetic model of a real shape, for timing this and other engines.
//
//   SHAPE  mid, fullwidth, tiny (grok) or qwen2 (dense); docs/performance.md lists them
//   TYPE   q8_0, q4_0, f16, bf16, f32 or i8c; norms, biases and routers are always f32
//
// Weights are random with the variance 1 / inputs, written block by block at the speed of the disk.
// The vocabulary is made up but complete (`llama`, with byte tokens), so that any engine loads it.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/base/half.h"
#include "core/formats/gguf_writer.h"
#include "core/tensor/blocks.h"
#include "core/tensor/dtype.h"
#include "tests/support/splitmix.h"

namespace {

using core::DType;

struct Shape {
    std::string_view name;
    std::string_view arch;
    uint32_t dim, heads, kv_heads, head_dim, layers, width, experts, active, vocab, context;
    float rope_base;
};

constexpr Shape kShapes[] = {
    {"mid", "grok", 2048, 16, 4, 128, 12, 11008, 8, 2, 32000, 32768, 1e4F},
    {"fullwidth", "grok", 6144, 48, 8, 128, 2, 32768, 8, 2, 131072, 8192, 1e4F},
    {"tiny", "grok", 512, 8, 2, 64, 8, 1024, 8, 2, 32000, 8192, 1e4F},
    {"qwen2", "qwen2", 1536, 12, 2, 128, 28, 8960, 0, 0, 151936, 32768, 1e6F},
};

using Random = support::Splitmix;

// A block scale near `scale`, of random sign: uniform nibbles have a mean of -0.5, which must not
// add up.
uint16_t random_scale(Random& random, double scale, bool any_sign) {
    const uint64_t bits = random.next();
    const uint16_t near =
        static_cast<uint16_t>(core::f32_to_f16(static_cast<float>(scale)) + (bits & 0x3fU));
    return static_cast<uint16_t>(near | (any_sign ? bits >> 48 & 0x8000U : 0U));
}

// Random bytes without -128, which no quantizer writes.
void fill_int8(Random& random, std::span<std::byte> out) {
    for (size_t i = 0; i + sizeof(uint64_t) <= out.size(); i += sizeof(uint64_t)) {
        const uint64_t word = random.next();
        std::memcpy(&out[i], &word, sizeof(word));
    }
    for (std::byte& byte : out) {
        byte = byte == std::byte{0x80} ? std::byte{0x7f} : byte;
    }
}

// Writes one tensor after the other in pieces of whole rows.
class TensorWriter {
  public:
    explicit TensorWriter(core::GgufWriter& writer) : writer_(writer) {}

    void constant(size_t count, float value) {
        const std::vector<float> values(count, value);
        writer_.append_bytes(std::as_bytes(std::span(values)));
    }

    // `rows` rows of `cols` random values with deviation 1 / sqrt(cols).
    void matrix(const std::string& name, DType type, uint64_t rows, uint64_t cols,
                uint64_t groups) {
        Random random(support::fnv1a(name));
        const double deviation = 1.0 / std::sqrt(static_cast<double>(cols));
        switch (type) {
            case DType::q8_0: return q8_0(random, rows * cols, deviation);
            case DType::q4_0: return q4_0(random, rows * cols, deviation);
            case DType::i8c: return i8c(random, rows * cols, rows * groups, deviation);
            case DType::f16:
                return table<uint16_t>(random, rows * cols, deviation, core::f32_to_f16);
            case DType::bf16:
                return table<uint16_t>(random, rows * cols, deviation, core::f32_to_bf16);
            default: return table<float>(random, rows * cols, deviation, [](float v) { return v; });
        }
    }

  private:
    static constexpr size_t kBlocksAtOnce = 32768;
    // Standard deviations of uniform integers in [-127, 127] and [-8, 7].
    static constexpr double kInt8Deviation = 73.6;
    static constexpr double kNibbleDeviation = 4.6;

    template <class Block, class Fill>
    void blocks(uint64_t count, Fill fill) {
        std::vector<Block> buffer;
        for (uint64_t done = 0; done < count; done += buffer.size()) {
            buffer.resize(std::min<uint64_t>(kBlocksAtOnce, count - done));
            for (Block& block : buffer) {
                fill(block);
            }
            writer_.append_bytes(std::as_bytes(std::span(buffer)));
        }
    }

    void q8_0(Random& random, uint64_t count, double deviation) {
        blocks<core::BlockQ8>(count / core::kBlock, [&](core::BlockQ8& block) {
            block.scale = random_scale(random, deviation / kInt8Deviation, false);
            fill_int8(random, std::as_writable_bytes(std::span(block.quants)));
        });
    }

    void q4_0(Random& random, uint64_t count, double deviation) {
        blocks<core::BlockQ4>(count / core::kBlock, [&](core::BlockQ4& block) {
            block.scale = random_scale(random, deviation / kNibbleDeviation, true);
            const uint64_t words[2] = {random.next(), random.next()};
            std::memcpy(block.quants, words, sizeof(words));
        });
    }

    void i8c(Random& random, uint64_t count, uint64_t scales, double deviation) {
        using Run = std::array<int8_t, core::kBlock>;
        blocks<Run>(count / core::kBlock,
                    [&](Run& run) { fill_int8(random, std::as_writable_bytes(std::span(run))); });
        const uint16_t scale = core::f32_to_bf16(static_cast<float>(deviation / kInt8Deviation));
        const std::vector<uint16_t> all(scales, scale);
        writer_.append_bytes(std::as_bytes(std::span(all)));
    }

    // Floats of any type from 65536 evenly spaced values.
    template <class Value, class Convert>
    void table(Random& random, uint64_t count, double deviation, Convert convert) {
        std::vector<Value> values(65536);
        for (size_t i = 0; i < values.size(); ++i) {
            const double uniform = (static_cast<double>(i) + 0.5) / 32768.0 - 1.0;
            values[i] = convert(static_cast<float>(uniform * deviation * std::sqrt(3.0)));
        }
        using Four = std::array<Value, 4>;
        blocks<Four>(count / 4, [&](Four& four) {
            uint64_t word = random.next();
            for (Value& value : four) {
                value = values[word & 0xffffU];
                word >>= 16;
            }
        });
    }

    core::GgufWriter& writer_;
};

// A tensor to declare and later to fill.
struct Tensor {
    std::string name;
    DType type;
    std::vector<uint64_t> shape;
    std::optional<float> constant;  // a vector of this value
    uint64_t groups = 0;
};

class Plan {
  public:
    Plan(const Shape& shape, DType type) : shape_(shape), type_(type) {
        matrix("token_embd.weight", shape.dim, shape.vocab);
        for (uint32_t i = 0; i < shape.layers; ++i) {
            layer("blk." + std::to_string(i) + ".");
        }
        vector("output_norm.weight", shape.dim, 1.0F);
    }

    const std::vector<Tensor>& tensors() const { return tensors_; }

  private:
    void vector(const std::string& name, uint64_t size, float value) {
        tensors_.push_back({name, DType::f32, {size}, value});
    }

    void matrix(const std::string& name, uint64_t in, uint64_t out, uint64_t experts = 1) {
        std::vector<uint64_t> dims = {in, out};
        if (experts > 1) dims.push_back(experts);
        constexpr uint64_t kGroups = 8;
        const uint64_t groups = in % (kGroups * core::kBlock) == 0 ? kGroups : 1;
        tensors_.push_back({name, type_, dims, std::nullopt, type_ == DType::i8c ? groups : 0});
    }

    void layer(const std::string& blk) {
        const uint64_t q = uint64_t{shape_.heads} * shape_.head_dim;
        const uint64_t kv = uint64_t{shape_.kv_heads} * shape_.head_dim;
        vector(blk + "attn_norm.weight", shape_.dim, 1.0F);
        matrix(blk + "attn_q.weight", shape_.dim, q);
        matrix(blk + "attn_k.weight", shape_.dim, kv);
        matrix(blk + "attn_v.weight", shape_.dim, kv);
        if (shape_.experts == 0) {
            vector(blk + "attn_q.bias", q, 0.1F);
            vector(blk + "attn_k.bias", kv, 0.1F);
            vector(blk + "attn_v.bias", kv, 0.1F);
        }
        matrix(blk + "attn_output.weight", q, shape_.dim);
        vector(blk + "ffn_norm.weight", shape_.dim, 1.0F);
        if (shape_.experts == 0) {
            matrix(blk + "ffn_gate.weight", shape_.dim, shape_.width);
            matrix(blk + "ffn_up.weight", shape_.dim, shape_.width);
            matrix(blk + "ffn_down.weight", shape_.width, shape_.dim);
            return;
        }
        vector(blk + "attn_output_norm.weight", shape_.dim, 1.0F);
        tensors_.push_back(
            {blk + "ffn_gate_inp.weight", DType::f32, {shape_.dim, shape_.experts}, std::nullopt});
        matrix(blk + "ffn_gate_exps.weight", shape_.dim, shape_.width, shape_.experts);
        matrix(blk + "ffn_up_exps.weight", shape_.dim, shape_.width, shape_.experts);
        matrix(blk + "ffn_down_exps.weight", shape_.width, shape_.dim, shape_.experts);
        vector(blk + "layer_output_norm.weight", shape_.dim, 1.0F);
    }

    const Shape& shape_;
    DType type_;
    std::vector<Tensor> tensors_;
};

void write_hyperparameters(core::GgufWriter& writer, const Shape& shape) {
    const std::string arch(shape.arch);
    writer.add_string("general.architecture", arch);
    writer.add_string("general.name", "synthetic " + std::string(shape.name));
    writer.add<uint32_t>("general.quantization_version", 2);
    const auto add = [&](const char* key, uint32_t value) {
        writer.add<uint32_t>(arch + "." + key, value);
    };
    add("vocab_size", shape.vocab);
    add("context_length", shape.context);
    add("embedding_length", shape.dim);
    add("block_count", shape.layers);
    add("feed_forward_length", shape.width);
    add("attention.head_count", shape.heads);
    add("attention.head_count_kv", shape.kv_heads);
    add("attention.key_length", shape.head_dim);
    add("attention.value_length", shape.head_dim);
    add("rope.dimension_count", shape.head_dim);
    writer.add<float>(arch + ".rope.freq_base", shape.rope_base);
    writer.add<float>(arch + ".attention.layer_norm_rms_epsilon", 1e-5F);
    if (shape.experts == 0) return;
    add("expert_count", shape.experts);
    add("expert_used_count", shape.active);
    // Grok-1's defaults hold for its own width; these follow the shape.
    writer.add<float>(arch + ".embedding_scale", std::sqrt(static_cast<float>(shape.dim)));
    writer.add<float>(arch + ".attention.output_scale",
                      1.0F / std::sqrt(static_cast<float>(shape.head_dim)));
}

// <unk>, <s>, </s>, the 256 bytes, then made-up words.
void write_vocabulary(core::GgufWriter& writer, uint32_t size) {
    enum : int32_t { normal = 1, unknown = 2, control = 3, byte = 6 };
    constexpr uint32_t kBytes = 256;
    std::vector<std::string> pieces = {"<unk>", "<s>", "</s>"};
    std::vector<int32_t> types = {unknown, control, control};
    for (uint32_t i = 0; i < kBytes; ++i) {
        char text[8];
        std::snprintf(text, sizeof text, "<0x%02X>", i);
        pieces.emplace_back(text);
        types.push_back(byte);
    }
    std::vector<float> scores(pieces.size(), 0.0F);
    while (pieces.size() < size) {
        scores.push_back(-static_cast<float>(pieces.size()));
        pieces.push_back("\xe2\x96\x81w" + std::to_string(pieces.size()));
        types.push_back(normal);
    }
    writer.add_string("tokenizer.ggml.model", "llama");
    writer.add_strings("tokenizer.ggml.tokens", pieces);
    writer.add_array<float>("tokenizer.ggml.scores", scores);
    writer.add_array<int32_t>("tokenizer.ggml.token_type", types);
    writer.add<uint32_t>("tokenizer.ggml.unknown_token_id", 0);
    writer.add<uint32_t>("tokenizer.ggml.bos_token_id", 1);
    writer.add<uint32_t>("tokenizer.ggml.eos_token_id", 2);
}

void write_model(const Shape& shape, DType type, const std::string& path) {
    const Plan plan(shape, type);
    core::GgufWriter writer(path);
    write_hyperparameters(writer, shape);
    write_vocabulary(writer, shape.vocab);
    for (const Tensor& tensor : plan.tensors()) {
        writer.declare(tensor.name, tensor.type, tensor.shape, tensor.groups);
    }
    TensorWriter values(writer);
    for (const Tensor& tensor : plan.tensors()) {
        uint64_t rows = 1;
        for (size_t i = 1; i < tensor.shape.size(); ++i) {
            rows *= tensor.shape[i];
        }
        if (tensor.constant) {
            values.constant(tensor.shape[0], *tensor.constant);
        } else {
            values.matrix(tensor.name, tensor.type, rows, tensor.shape[0], tensor.groups);
        }
    }
    writer.finish();
}

int fail_usage(const std::string& problem) {
    std::fprintf(stderr, "make_model: %s\nusage: make_model SHAPE TYPE OUT\n", problem.c_str());
    return static_cast<int>(core::ErrorKind::usage);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 4) return fail_usage("expected three arguments");
    const Shape* shape = nullptr;
    for (const Shape& known : kShapes) {
        if (known.name == argv[1]) shape = &known;
    }
    if (shape == nullptr) return fail_usage(std::string("unknown shape ") + argv[1]);
    const auto type = core::dtype_from_name(argv[2]);
    if (!type || !core::traits(*type).computable) {
        return fail_usage(std::string("no values can be made for type ") + argv[2]);
    }
    try {
        write_model(*shape, *type, argv[3]);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "make_model: %s\n", error.what());
        return static_cast<int>(core::ErrorKind::storage);
    }
    return 0;
}
