#include "app/oneshot/oneshot_output.h"

#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <string>
#include <system_error>
#include <utility>

#include <nlohmann/json.hpp>

#include "app/session/thinking.h"
#include "app/settings/parameters.h"
#include "core/base/error.h"
#include "core/base/utf8.h"

namespace app {
namespace {

using Json = nlohmann::ordered_json;

bool write_out(std::string_view text) {
    while (!text.empty()) {
        const ssize_t count = ::write(STDOUT_FILENO, text.data(), text.size());
        if (count >= 0)
            text.remove_prefix(static_cast<size_t>(count));
        else if (errno == EPIPE)
            return false;
        else if (errno != EINTR)
            throw core::Error(core::ErrorKind::storage, "standard output",
                              "cannot be written: " + std::generic_category().message(errno));
    }
    return true;
}

bool write_line(const Json& object) {
    return write_out(object.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
}

// What a terminal would obey is shown as its picture; all else stays as it is, tabs too.
// REQUIRES: whole code points.
std::string without_escapes(std::string_view text) {
    constexpr std::string_view kPicture = "\u241b";
    std::string out;
    for (size_t i = 0; i < text.size(); ++i) {
        const auto byte = static_cast<unsigned char>(text[i]);
        const bool c1 =
            byte == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0;
        if (byte == 0x1b || c1)
            out += kPicture;
        else
            out += text[i];
        if (c1) ++i;
    }
    return out;
}

// --- text -------------------------------------------------------------------------------------

// The newlines at the end are held back: there will be exactly one.
class TextOutput : public AnswerOutput {
  public:
    TextOutput(bool escapes, bool thinking)
        : terminal_(::isatty(STDOUT_FILENO) == 1), escapes_(escapes), thinking_(thinking) {}

    bool model(const chat::ModelReady& /*ready*/) override { return true; }

    bool delta(const chat::Delta& delta) override {
        return print(thinking_ ? delta.text : filter_.take(delta.text).said);
    }

    bool end(const chat::Finished& /*finished*/, const SamplingChoice& /*choice*/) override {
        return print(filter_.rest().said) && write_out("\n");
    }

    bool fail(std::string_view /*sentence*/) override {
        return print(filter_.rest().said) && (!started_ || write_out("\n"));
    }

  private:
    bool print(const std::string& text) {
        std::string out = std::exchange(held_, {});
        out += terminal_ ? core::sanitize(text) : escapes_ ? text : without_escapes(text);
        const size_t end = out.find_last_not_of('\n') + 1;
        held_ = out.substr(end);
        out.resize(end);
        started_ = started_ || !out.empty();
        return write_out(out);
    }

    bool terminal_;
    bool escapes_;
    bool thinking_;  // it is printed too
    ThinkingFilter filter_;
    bool started_ = false;
    std::string held_;
};

// --- JSON -------------------------------------------------------------------------------------

double rate(uint32_t tokens, double seconds) {
    return seconds > 0 ? tokens / seconds : 0;
}

Json usage_json(const chat::Usage& usage) {
    return {{"prompt_tokens", usage.prompt},
            {"reused_tokens", usage.reused},
            {"recomputed_tokens", usage.recomputed},
            {"completion_tokens", usage.generated},
            {"total_tokens", usage.prompt + usage.generated}};
}

Json timings_json(const chat::Usage& usage, double load_seconds) {
    return {{"load_seconds", load_seconds},
            {"prefill_seconds", usage.prefill_seconds},
            {"first_token_seconds", usage.first_token_seconds},
            {"decode_seconds", usage.decode_seconds},
            {"prefill_tokens_per_second", rate(usage.recomputed, usage.prefill_seconds)},
            {"decode_tokens_per_second",
             rate(usage.generated == 0 ? 0 : usage.generated - 1, usage.decode_seconds)}};
}

Json params_json(const SamplingChoice& choice) {
    Json params = Json::object();
    for (const Parameter& parameter : parameters()) {
        if (parameter.name == "seed") continue;  // beside it: the one that was used
        std::visit(
            [&](auto field) {
                const auto value = choice.sampling.*field;
                using Value = std::remove_cvref_t<decltype(value)>;
                // By way of its shortest text: 0.3 and not 0.30000001192092896.
                if constexpr (std::is_same_v<Value, float>)
                    params[std::string(parameter.name)] =
                        std::stod(value_of(choice.sampling, parameter));
                else
                    params[std::string(parameter.name)] = value;
            },
            parameter.field);
    }
    params["max_tokens"] = choice.max_tokens == 0 ? Json(nullptr) : Json(choice.max_tokens);
    return params;
}

// Probabilities are those of the model, before the sampler's stages. One that is 0 in float32 has
// no logarithm: null.
Json logprob_json(float probability) {
    if (probability <= 0) return nullptr;
    return std::log(static_cast<double>(probability));
}

// Bytes that are no text by themselves are told as numbers too.
Json token_json(core::TokenId id, const std::string& bytes, float probability) {
    Json token = {{"id", id}, {"text", bytes}, {"logprob", logprob_json(probability)}};
    if (!core::is_utf8(bytes))
        token["bytes"] = std::vector<unsigned>(
            reinterpret_cast<const unsigned char*>(bytes.data()),
            reinterpret_cast<const unsigned char*>(bytes.data()) + bytes.size());
    return token;
}

Json tokens_json(const std::vector<chat::Token>& tokens, uint32_t alternatives) {
    Json list = Json::array();
    for (const chat::Token& token : tokens) {
        Json entry = token_json(token.id, token.bytes, token.raw_probability);
        entry["top"] = Json::array();
        for (const chat::Alternative& other : token.alternatives) {
            if (entry["top"].size() >= alternatives) break;
            entry["top"].push_back(token_json(other.id, other.bytes, other.raw_probability));
        }
        list.push_back(std::move(entry));
    }
    return list;
}

Json result_json(const chat::Finished& finished, const SamplingChoice& choice,
                 double load_seconds) {
    return {{"finish_reason", reason_name(finished.reason)},
            {"usage", usage_json(finished.usage)},
            {"timings", timings_json(finished.usage, load_seconds)},
            {"seed", finished.seed},
            {"params", params_json(choice)}};
}

// One object at the end.
class JsonOutput : public AnswerOutput {
  public:
    explicit JsonOutput(std::optional<uint32_t> logprobs) : logprobs_(logprobs) {}

    bool model(const chat::ModelReady& ready) override {
        load_seconds_ = ready.seconds;
        return true;
    }

    bool delta(const chat::Delta& delta) override {
        take(filter_.take(delta.text));
        if (logprobs_)
            for (Json& token : tokens_json(delta.tokens, *logprobs_))
                tokens_.push_back(std::move(token));
        return true;
    }

    bool end(const chat::Finished& finished, const SamplingChoice& choice) override {
        take(filter_.rest());
        Json object = {{"text", text_}};
        if (!thinking_.empty()) object["thinking"] = thinking_;
        object.update(result_json(finished, choice, load_seconds_));
        if (logprobs_) object["logprobs"] = tokens_;
        return write_line(object);
    }

    bool fail(std::string_view /*sentence*/) override { return true; }

  private:
    void take(const ThinkingFilter::Piece& piece) {
        text_ += piece.said;
        thinking_ += piece.thought;
    }

    std::optional<uint32_t> logprobs_;
    double load_seconds_ = 0;
    ThinkingFilter filter_;
    std::string text_;
    std::string thinking_;
    Json tokens_ = Json::array();
};

// An object for every event.
class JsonLinesOutput : public AnswerOutput {
  public:
    explicit JsonLinesOutput(std::optional<uint32_t> logprobs) : logprobs_(logprobs) {}

    bool model(const chat::ModelReady& ready) override {
        load_seconds_ = ready.seconds;
        return write_line({{"type", "model"},
                           {"name", ready.name},
                           {"family", ready.family},
                           {"context", ready.context},
                           {"load_seconds", ready.seconds}});
    }

    bool delta(const chat::Delta& delta) override {
        Json ids = Json::array();
        for (const chat::Token& token : delta.tokens)
            ids.push_back(token.id);
        Json object = {{"type", "token"}, {"text", delta.text}, {"ids", ids}};
        if (logprobs_) object["logprobs"] = tokens_json(delta.tokens, *logprobs_);
        return write_line(object);
    }

    bool end(const chat::Finished& finished, const SamplingChoice& choice) override {
        Json object = {{"type", "end"}};
        object.update(result_json(finished, choice, load_seconds_));
        return write_line(object);
    }

    bool fail(std::string_view sentence) override {
        return write_line({{"type", "error"}, {"message", sentence}});
    }

  private:
    std::optional<uint32_t> logprobs_;
    double load_seconds_ = 0;
};

}  // namespace

std::unique_ptr<AnswerOutput> make_output(const OneShotOptions& options) {
    switch (options.form) {
        case OutputForm::json: return std::make_unique<JsonOutput>(options.logprobs);
        case OutputForm::json_lines: return std::make_unique<JsonLinesOutput>(options.logprobs);
        case OutputForm::text: break;
    }
    return std::make_unique<TextOutput>(options.escapes, options.thinking || options.raw);
}

std::string_view reason_name(chat::FinishReason reason) {
    switch (reason) {
        case chat::FinishReason::stop: return "stop";
        case chat::FinishReason::length: return "length";
        case chat::FinishReason::context_full: return "context_full";
        case chat::FinishReason::cancelled: break;
    }
    return "cancelled";
}

}  // namespace app
