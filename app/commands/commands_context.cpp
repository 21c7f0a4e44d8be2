// Commands of the context window: its size, what happens when it is full, making room in it.
#include <array>
#include <string>

#include "app/chat/chat_app.h"
#include "app/commands/command_words.h"
#include "app/commands/commands.h"
#include "core/base/units.h"

namespace app {
namespace {

constexpr std::array<std::string_view, 3> kPolicies = {"stop", "shift", "compact"};
constexpr uint32_t kSmallest = 64;
constexpr uint32_t kLargest = 1U << 30;

void tell_context(ChatApp& app) {
    const ChatSession& session = app.session();
    if (!session.model()) return app.report("No model is loaded; /model PATH loads one.");
    const uint32_t window = session.model()->context;
    std::string text = "context: " + core::with_commas(session.context_used()) + " of " +
                       core::with_commas(window) + " tokens used, " +
                       core::with_commas(session.reserved()) + " kept for an answer; policy " +
                       std::string(context_policy_name(session.context_policy()));
    if (const uint32_t outside = session.turns_outside(); outside > 0)
        text += "; " + std::to_string(outside) + " turns are outside";
    app.session().say(text);
}

void set_policy(ChatApp& app, std::string_view name) {
    const auto policy = context_policy(name);
    if (!policy)
        usage("/ctx policy", "is no policy: " + std::string(name), "stop, shift or compact");
    app.session().set_context_policy(*policy);
    app.toast("context policy: " + std::string(name), app.now());
}

// "[size | policy NAME | shift | compact | show]"
void run_ctx(ChatApp& app, std::string_view arguments) {
    const auto [word, rest] = split(arguments);
    if (word.empty() || word == "show") return tell_context(app);
    if (word == "policy") return set_policy(app, trim(rest));
    if (context_policy(word)) return set_policy(app, word);
    require_idle(app, "/ctx");
    app.report(app.session().set_context(number_in("/ctx", word, kSmallest, kLargest), app.now()));
}

std::vector<std::string> complete_ctx(const ChatApp& /*app*/, std::string_view arguments) {
    const auto [word, rest] = split(arguments);
    std::vector<std::string> found;
    if (word == "policy" && arguments.size() > word.size()) {
        for (const std::string_view policy : kPolicies)
            if (policy.starts_with(trim(rest))) found.emplace_back(policy);
        return found;
    }
    for (const std::string_view known : {"show", "policy", "stop", "shift", "compact"})
        if (known.starts_with(word)) found.emplace_back(known);
    return found;
}

// "[keep-last N] [--preview]"
void run_compact(ChatApp& app, std::string_view arguments) {
    constexpr uint32_t kKept = 2;
    uint32_t keep = kKept;
    bool preview = false;
    bool number_next = false;
    for (const std::string_view word : words_of(arguments)) {
        if (number_next) {
            keep = number_in("keep-last", word, 0, kLargest);
            number_next = false;
        } else if (word == "keep-last" || word == "--keep-last") {
            number_next = true;
        } else if (word == "--preview") {
            preview = true;
        } else {
            usage("/compact", "has no " + std::string(word), "/compact [keep-last N] [--preview]");
        }
    }
    if (number_next) usage("keep-last", "has no number", "/compact keep-last 2");
    app.report(app.session().compact(keep, preview, app.now()));
}

constexpr std::array kCommands = {
    Command{"ctx", "", "[TOKENS | policy stop|shift|compact | show]",
            "the context window: its size, and what happens when a prompt does not fit", "",
            run_ctx, complete_ctx},
    Command{"compact", "", "[keep-last N] [--preview]",
            "have all but the last N exchanges summed up, to make room", "", run_compact},
};

}  // namespace

CommandGroup context_commands() {
    return {.title = "Context", .commands = kCommands};
}

}  // namespace app
