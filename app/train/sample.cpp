#include "app/train/sample.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

namespace train {
namespace {

// Temperature, then the smallest set of tokens that holds top_p of the probability.
int64_t draw(const torch::Tensor& logits, const SampleOptions& options, std::mt19937_64& random) {
    if (options.temperature <= 0) return logits.argmax().item<int64_t>();
    const auto [sorted, order] = (logits / options.temperature).softmax(0).sort(0, true);
    const auto size = static_cast<size_t>(sorted.size(0));
    const std::vector<float> probabilities(sorted.data_ptr<float>(),
                                           sorted.data_ptr<float>() + size);
    size_t kept = 0;
    double mass = 0;
    while (kept < size && mass < options.top_p)
        mass += probabilities[kept++];
    double drawn = static_cast<double>(random() >> 11) * 0x1p-53 * mass;
    size_t choice = 0;
    while (choice + 1 < kept && drawn >= probabilities[choice])
        drawn -= probabilities[choice++];
    return order[static_cast<int64_t>(choice)].item<int64_t>();
}

}  // namespace

std::vector<int64_t> chat_prompt(const TextCodec& codec, const std::vector<std::string>& turns) {
    std::vector<int64_t> ids;
    const auto add = [&](const std::string& text) {
        const auto encoded = codec.encode(text);
        ids.insert(ids.end(), encoded.begin(), encoded.end());
    };
    for (size_t i = 0; i < turns.size(); ++i) {
        add((i == 0 ? " " : "\n\n") + std::string(i % 2 == 0 ? "Human: " : "Assistant: ") +
            turns[i]);
        ids.push_back(codec.id("<|separator|>"));
    }
    add("\n\nAssistant:");
    return ids;
}

Answer sample_answer(const GrokModel& model, const TextCodec& codec, std::vector<int64_t> prompt,
                     const SampleOptions& options) {
    const torch::NoGradGuard no_gradient;
    const int64_t separator = codec.id("<|separator|>"), end = codec.id("[EOS]");
    std::mt19937_64 random(options.seed);
    std::vector<int64_t> answer;
    Answer result;
    while (answer.size() < options.max_tokens) {
        const auto states = model.forward(torch::tensor(prompt, torch::kInt64).unsqueeze(0)).states;
        const int64_t token = draw(model.logits(states.slice(0, -1)).view(-1), options, random);
        result.stopped = token == separator || token == end;
        if (result.stopped) break;
        answer.push_back(token);
        prompt.push_back(token);
    }
    result.text = codec.decode(answer);
    if (result.text.starts_with(" ")) result.text.erase(0, 1);
    return result;
}

}  // namespace train
