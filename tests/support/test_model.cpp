#include "tests/support/test_model.h"

#include <stdexcept>

#include "core/formats/gguf_writer.h"

namespace support {

StoredTensor& TestModel::tensor(std::string_view wanted) {
    for (StoredTensor& tensor : tensors)
        if (tensor.name == wanted) return tensor;
    throw std::out_of_range("no tensor " + std::string(wanted));
}

MetaEntry& TestModel::meta(std::string_view wanted) {
    for (auto& [key, value] : metadata)
        if (key == wanted) return value;
    throw std::out_of_range("no key " + std::string(wanted));
}

void TestModel::remove_tensor(std::string_view wanted) {
    tensor(wanted);
    std::erase_if(tensors, [&](const StoredTensor& tensor) { return tensor.name == wanted; });
}

void TestModel::remove_meta(std::string_view wanted) {
    meta(wanted);
    std::erase_if(metadata, [&](const auto& entry) { return entry.first == wanted; });
}

void add_vocabulary(TestModel& model) {
    // GGUF's token_type.
    constexpr int32_t kNormal = 1, kUnknown = 2, kControl = 3, kUnused = 5, kByte = 6;
    const uint32_t vocab = model.reference.vocab;
    std::vector<std::string> pieces = {"[PAD]", "[BOS]", "[EOS]", "[UNK]"};
    std::vector<int32_t> types = {kControl, kControl, kControl, kUnknown};
    const auto add = [&](std::string piece, int32_t type) {
        pieces.push_back(std::move(piece));
        types.push_back(type);
    };
    constexpr uint32_t kBytePieces = 256;
    if (vocab >= 2 * kBytePieces) {
        constexpr std::string_view kDigits = "0123456789ABCDEF";
        for (uint32_t byte = 0; byte < kBytePieces; ++byte)
            add(std::string("<0x") + kDigits[byte / 16] + kDigits[byte % 16] + '>', kByte);
    }
    const std::string space = "\xE2\x96\x81";
    for (const char* merged : {"th", "he", "the"})
        add(merged, kNormal);
    add(space + "the", kNormal);
    add(space, kNormal);
    for (char letter = 'a'; letter <= 'z'; ++letter)
        add(std::string(1, letter), kNormal);
    while (pieces.size() < vocab)
        add("<unused" + std::to_string(pieces.size()) + ">", kUnused);
    std::vector<float> scores;
    for (uint32_t id = 0; id < vocab; ++id)
        scores.push_back(-static_cast<float>(id));
    model.meta("tokenizer.ggml.model") = std::string("llama");
    model.metadata.emplace_back("tokenizer.ggml.tokens", std::move(pieces));
    model.metadata.emplace_back("tokenizer.ggml.scores", std::move(scores));
    model.metadata.emplace_back("tokenizer.ggml.token_type", std::move(types));
    model.metadata.emplace_back("tokenizer.ggml.padding_token_id", 0U);
    model.metadata.emplace_back("tokenizer.ggml.bos_token_id", 1U);
    model.metadata.emplace_back("tokenizer.ggml.eos_token_id", 2U);
    model.metadata.emplace_back("tokenizer.ggml.unknown_token_id", 3U);
    model.metadata.emplace_back("tokenizer.ggml.add_bos_token", true);
}

void write_gguf(const TestModel& model, const std::string& path) {
    core::GgufWriter writer(path);
    for (const auto& [key, entry] : model.metadata) {
        if (const auto* number = std::get_if<uint32_t>(&entry))
            writer.add<uint32_t>(key, *number);
        else if (const auto* real = std::get_if<float>(&entry))
            writer.add<float>(key, *real);
        else if (const auto* flag = std::get_if<bool>(&entry))
            writer.add<bool>(key, *flag);
        else if (const auto* text = std::get_if<std::string>(&entry))
            writer.add_string(key, *text);
        else if (const auto* texts = std::get_if<std::vector<std::string>>(&entry))
            writer.add_strings(key, *texts);
        else if (const auto* reals = std::get_if<std::vector<float>>(&entry))
            writer.add_array<float>(key, *reals);
        else
            writer.add_array<int32_t>(key, std::get<std::vector<int32_t>>(entry));
    }
    for (const StoredTensor& tensor : model.tensors)
        writer.declare(tensor.name, tensor.type, tensor.shape, tensor.scale_groups);
    for (const StoredTensor& tensor : model.tensors) {
        writer.append_bytes(tensor.data);
        writer.append_bytes(tensor.scales);
    }
    writer.finish();
}

}  // namespace support
