#include "app/commands/show.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

#include "app/chat/chat_app.h"
#include "app/commands/command_words.h"
#include "app/commands/commands.h"
#include "app/settings/config_text.h"
#include "app/settings/parameters.h"
#include "core/base/cpu.h"
#include "core/base/units.h"
#include "core/base/utf8.h"

namespace app {
namespace {

using chat::TurnId;

void pad(std::string& text, size_t columns) {
    text.resize(std::max(text.size(), columns), ' ');
}

std::string parameter_row(const ChatSettings& settings, std::string_view name,
                          const std::string& value, std::string_view help) {
    constexpr size_t kValue = 20;
    constexpr size_t kSource = 30;
    constexpr size_t kHelp = 39;
    std::string row(name);
    pad(row, kValue);
    row += value + " ";
    pad(row, kSource);
    row += source_name(settings.layers().source_of(name));
    pad(row, kHelp);
    return row + std::string(help) + "\n";
}

std::string parameter_table(const ChatApp& app) {
    const ChatSettings& settings = app.settings();
    std::string text;
    for (const Parameter& parameter : parameters()) {
        std::string value = value_of(app.session().sampling(), parameter);
        if (parameter.name == "seed" && !app.session().fixed_seed()) value = "random";
        text += parameter_row(settings, parameter.name, value, parameter.help);
    }
    const uint32_t most = settings.layers().choice().max_tokens;
    text += parameter_row(settings, "max_tokens", most == 0 ? "-1" : std::to_string(most),
                          find_config_key("sampling", "max_tokens")->help);
    std::string stop;
    for (const std::string& each : app.session().stop_texts())
        stop += (stop.empty() ? "\"" : ", \"") + each + "\"";
    if (!stop.empty()) text += parameter_row(settings, "stop", stop, "texts that end an answer");
    const std::string biases = bias_text(app.session().sampling());
    if (!biases.empty())
        text += parameter_row(settings, kLogitBias, biases, "of single tokens; /bias list");
    return text;
}

void show_params(ChatApp& app) {
    app.say(parameter_table(app));
}

void show_config(ChatApp& app) {
    app.say_at_length(config_listing(app.settings().config(), {}, true));
}

void show_keys(ChatApp& app) {
    app.say_at_length(help_text(app.bindings()));
}

void show_template(ChatApp& app) {
    const auto& model = app.session().model();
    app.say(model ? "Template: " + model->format + ". /set template NAME takes another one."
                  : "No model is loaded.");
}

// --- memory -----------------------------------------------------------------------------------

std::string memory_row(std::string_view name, const std::string& amount) {
    constexpr size_t kAmount = 12;
    std::string row(name);
    pad(row, kAmount);
    return row + amount + "\n";
}

// What the engine told last; it tells when an answer has ended.
void show_memory(ChatApp& app) {
    std::string text =
        memory_row("program", core::human_bytes(core::resident_memory()) + " resident");
    if (const auto& model = app.session().model()) {
        const chat::KvListed& kept = app.session().residency().totals();
        text += memory_row("weights", core::human_bytes(model->weight_bytes));
        std::string cache = core::human_bytes(kept.memory_bytes) + " in memory";
        if (kept.memory_budget > 0)
            cache += ", of at most " + core::human_bytes(kept.memory_budget);
        text += memory_row("KV cache",
                           cache + "; a full context takes " + core::human_bytes(model->kv_bytes));
        if (kept.disk_budget > 0)
            text += memory_row("on disk", core::human_bytes(kept.disk_bytes) + " of at most " +
                                              core::human_bytes(kept.disk_budget));
    }
    text += memory_row("available", core::human_bytes(core::available_memory()));
    text.pop_back();
    app.say(text);
}

// --- tokens -----------------------------------------------------------------------------------

// The tokens of an answer's prompt alone, without those that the answer itself began with.
uint32_t prompt_tokens(const chat::Turn& answer) {
    const auto said = static_cast<uint32_t>(answer.tokens.size());
    const uint32_t forced = said - std::min(said, answer.usage.generated);
    return answer.usage.prompt - std::min(answer.usage.prompt, forced);
}

// What a prompt added to the turns before it, with what the template puts around it; nothing: no
// answer has told.
std::optional<uint32_t> added_by(const chat::Conversation& conversation,
                                 const std::vector<TurnId>& line, size_t place) {
    if (place + 1 >= line.size()) return std::nullopt;
    const chat::Turn& answer = conversation.turn(line[place + 1]);
    if (answer.role == chat::Role::user || answer.usage.prompt == 0) return std::nullopt;
    uint32_t before = 0;
    if (place > 0) {
        const chat::Turn& last = conversation.turn(line[place - 1]);
        if (last.role == chat::Role::user || last.usage.prompt == 0) return std::nullopt;
        before = prompt_tokens(last) + static_cast<uint32_t>(last.tokens.size());
    }
    const uint32_t all = prompt_tokens(answer);
    if (all <= before) return std::nullopt;  // turns have left the context in between
    return all - before;
}

std::string token_row(const chat::Conversation& conversation, const std::vector<TurnId>& line,
                      size_t place) {
    constexpr size_t kName = 5;
    constexpr size_t kCount = 12;
    const chat::Turn& turn = conversation.turn(line[place]);
    const bool user = turn.role == chat::Role::user;
    std::optional<uint32_t> count = added_by(conversation, line, place);
    if (!user) count = static_cast<uint32_t>(turn.tokens.size());
    std::string row = std::to_string(place + 1);
    pad(row, kName);
    row += user ? "you" : "answer";
    pad(row, kCount);
    row += count ? core::with_commas(*count) : "-";
    if (turn.flags.excluded || turn.flags.outside) row += " (not in the context)";
    return row + "\n";
}

void show_tokens(ChatApp& app) {
    const ChatSession& session = app.session();
    const std::vector<TurnId> line = session.conversation().line();
    if (line.empty()) return app.say("There is no message yet.");
    std::string text = "Tokens of each message; those of yours with what the template adds:\n";
    for (size_t place = 0; place < line.size(); ++place)
        text += token_row(session.conversation(), line, place);
    text += "In the context: " + core::with_commas(session.context_used());
    if (session.model())
        text += " of " + core::with_commas(session.model()->context) + ", " +
                core::with_commas(session.reserved()) + " kept for the answer";
    app.say_at_length(text + ".");
}

// --- all of them ------------------------------------------------------------------------------

template <const char* kLine>
void as_command(ChatApp& app) {
    run_command(app, kLine);
}

constexpr char kModel[] = "/model show";
constexpr char kKv[] = "/kv list";
constexpr char kContext[] = "/ctx show";

struct Topic {
    std::string_view name;
    void (*show)(ChatApp& app);
};

constexpr std::array kTopics = {
    Topic{"params", show_params},     Topic{"model", as_command<kModel>},
    Topic{"template", show_template}, Topic{"memory", show_memory},
    Topic{"kv", as_command<kKv>},     Topic{"context", as_command<kContext>},
    Topic{"tokens", show_tokens},     Topic{"keys", show_keys},
    Topic{"config", show_config},
};

std::vector<std::string> topic_names() {
    std::vector<std::string> names;
    names.reserve(kTopics.size());
    for (const Topic& topic : kTopics)
        names.emplace_back(topic.name);
    return names;
}

}  // namespace

void run_show(ChatApp& app, std::string_view topic) {
    if (topic.empty()) return show_params(app);
    std::string known;
    for (const Topic& each : kTopics) {
        if (each.name == topic) return each.show(app);
        known += (known.empty() ? "" : ", ") + std::string(each.name);
    }
    usage("/show " + std::string(topic), "unknown", "there are " + known);
}

std::vector<std::string> complete_show(const ChatApp& /*app*/, std::string_view begun) {
    return beginning_with(begun, topic_names());
}

}  // namespace app
