#include "core/chat/request_log.h"

#include <array>
#include <atomic>
#include <cstdio>
#include <string>
#include <string_view>

#include "core/base/log.h"
#include "core/base/units.h"

namespace chat {
namespace {

std::atomic<bool>& prompts_wanted() {
    static std::atomic<bool> wanted = false;
    return wanted;
}

std::string figure(const char* format, double value) {
    std::array<char, 48> text = {};
    std::snprintf(text.data(), text.size(), format, value);
    return text.data();
}

std::string rate(uint32_t tokens, double seconds) {
    return figure(" in %.2f s", seconds) +
           (seconds > 0 ? figure(" (%.1f/s)", tokens / seconds) : "");
}

std::string request_name(RequestId id) {
    return "request " + std::to_string(id) + ": ";
}

std::string in_quotes(std::string_view text) {
    return ", \"" + std::string(text) + "\"";
}

std::string texts_of(const std::vector<Message>& messages) {
    constexpr std::array<std::string_view, 3> kRoles = {"system", "user", "assistant"};
    std::string text;
    for (const Message& message : messages)
        text += ", " + std::string(kRoles.at(static_cast<size_t>(message.role))) + " \"" +
                message.text + "\"";
    return text;
}

// What a prompt is, and with log.prompts its text.
struct PromptText {
    std::string operator()(const std::vector<Message>& messages) const {
        return std::to_string(messages.size()) + " messages" +
               (prompts_wanted() ? texts_of(messages) : "");
    }
    std::string operator()(const std::string& text) const {
        return std::to_string(text.size()) + " bytes of text" +
               (prompts_wanted() ? in_quotes(text) : "");
    }
    std::string operator()(const std::vector<TokenId>& tokens) const {
        return std::to_string(tokens.size()) + " tokens";
    }
};

struct RequestText {
    std::string operator()(const LoadModel& load) const {
        return "load " + load.path + ", context " + std::to_string(load.context);
    }
    std::string operator()(const UnloadModel& /*unload*/) const { return "unload"; }
    std::string operator()(const Generate& generate) const {
        const Sampling& sampling = generate.sampling;
        return "generate, temperature" +
               figure(" %.4g", static_cast<double>(sampling.temperature)) + ", top_k " +
               std::to_string(sampling.top_k) +
               figure(", top_p %.4g", static_cast<double>(sampling.top_p)) +
               figure(", min_p %.4g", static_cast<double>(sampling.min_p)) + ", seed " +
               std::to_string(sampling.seed) + ", max_tokens " +
               std::to_string(generate.max_tokens) + ", " +
               std::visit(PromptText{}, generate.prompt);
    }
    std::string operator()(const UpdateSampling& update) const {
        return "sampling of request " + std::to_string(update.target) + " changes";
    }
    std::string operator()(const Count& count) const {
        return "count " + std::visit(PromptText{}, count.what);
    }
    std::string operator()(const Spell& spell) const {
        return "spell " + std::visit(PromptText{}, spell.what);
    }
    std::string operator()(const Preview& preview) const {
        return "preview of request " + std::to_string(preview.target);
    }
    std::string operator()(const Prefill& prefill) const {
        return "prefill " + PromptText{}(prefill.messages);
    }
    std::string operator()(const Kv& kv) const {
        constexpr std::array<std::string_view, 4> kNames = {"list", "save", "drop", "prefetch"};
        return "kv " + std::string(kNames.at(static_cast<size_t>(kv.action))) + " of " +
               std::to_string(kv.lines.size()) + " lines";
    }
    std::string operator()(const Capture& capture) const {
        return "capture of request " + std::to_string(capture.target);
    }
};

std::string_view phase_name(Phase phase) {
    switch (phase) {
        case Phase::loading: return "loading";
        case Phase::restoring: return "restoring";
        case Phase::prefill: break;
    }
    return "prefill";
}

std::string_view reason_name(FinishReason reason) {
    switch (reason) {
        case FinishReason::stop: return "stop";
        case FinishReason::length: return "length";
        case FinishReason::context_full: return "context full";
        case FinishReason::cancelled: break;
    }
    return "cancelled";
}

std::string figures_of(const Finished& finished) {
    const Usage& usage = finished.usage;
    std::string text = "answer " + std::to_string(finished.id) + ": " +
                       std::string(reason_name(finished.reason)) + ", prompt " +
                       std::to_string(usage.prompt) + " tokens, " + std::to_string(usage.reused) +
                       " reused, ";
    if (usage.restored > 0)
        text += std::to_string(usage.restored) + " of them restored, " +
                core::human_bytes(usage.restored_bytes) +
                figure(" in %.2f s", usage.restore_seconds) + ", ";
    return text + std::to_string(usage.recomputed) + " read" +
           rate(usage.recomputed, usage.prefill_seconds) + ", " + std::to_string(usage.generated) +
           " written" + rate(usage.generated == 0 ? 0 : usage.generated - 1, usage.decode_seconds) +
           figure(", first after %.2f s", usage.first_token_seconds) + ", seed " +
           std::to_string(finished.seed);
}

struct EventLog {
    void operator()(const ModelReady& ready) const {
        core::log_info("model " + ready.name + ": " + ready.family + ", format " + ready.format +
                       ", context " + std::to_string(ready.context) + ", weights " +
                       core::human_bytes(ready.weight_bytes) + ", KV " +
                       core::human_bytes(ready.kv_bytes) +
                       figure(", loaded in %.2f s", ready.seconds));
    }
    void operator()(const Finished& finished) const { core::log_info(figures_of(finished)); }
    void operator()(const Failed& failed) const {
        core::log_warning(request_name(failed.id) + failed.sentence);
    }
    void operator()(const Progress& progress) const {
        if (!core::is_logged(core::LogLevel::debug)) return;
        core::log_debug(request_name(progress.id) + std::string(phase_name(progress.phase)) + " " +
                        std::to_string(progress.done) + "/" + std::to_string(progress.total) +
                        (progress.reason.empty() ? "" : ", " + progress.reason));
    }
    void operator()(const Delta& delta) const {
        if (!core::is_logged(core::LogLevel::debug)) return;
        core::log_debug(request_name(delta.id) + std::to_string(delta.tokens.size()) + " tokens" +
                        (prompts_wanted() ? in_quotes(delta.text) : ""));
    }
    void operator()(const Done& done) const { core::log_debug(request_name(done.id) + "done"); }
    template <typename Other>
    void operator()(const Other& /*event*/) const {}
};

}  // namespace

void log_prompts(bool wanted) noexcept {
    prompts_wanted() = wanted;
}

void log_request(const Request& request) {
    if (!core::is_logged(core::LogLevel::debug)) return;
    core::log_debug(request_name(request_of(request)) + std::visit(RequestText{}, request));
}

void log_event(const Event& event) {
    std::visit(EventLog{}, event);
}

}  // namespace chat
