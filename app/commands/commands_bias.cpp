// /bias: tokens that are made likelier, less likely, or banned, in this conversation.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "app/chat/chat_app.h"
#include "app/commands/command_words.h"
#include "app/commands/commands.h"
#include "app/settings/parameters.h"
#include "core/base/utf8.h"

namespace app {
namespace {

using chat::Sampling;
using chat::Spelled;
using core::TokenId;
using Biases = decltype(Sampling::logit_bias);

constexpr float kBanned = -std::numeric_limits<float>::infinity();
constexpr float kMost = 100;
constexpr std::string_view kHelp = "/bias TEXT=±X or #ID=±X, =ban, list, reset [TEXT|#ID]";

// "#12", and nothing else.
std::optional<TokenId> id_in(std::string_view word) {
    if (!word.starts_with('#') || word.size() == 1) return std::nullopt;
    return static_cast<TokenId>(
        number_in("/bias " + std::string(word), word.substr(1), 0, 1U << 30U));
}

float value_in(std::string_view text) {
    if (text == "ban") return kBanned;
    const std::string_view number = text.substr(text.starts_with('+') ? 1 : 0);
    float value = 0;
    const auto end = number.data() + number.size();
    const auto result = std::from_chars(number.data(), end, value);
    if (result.ec != std::errc{} || result.ptr != end || std::isnan(value) ||
        std::abs(value) > kMost)
        usage("/bias", "\"" + std::string(text) + "\" is no bias",
              "use a number from -100 to 100, or ban");
    return value;
}

// `" hello"` and `hello` as they are meant.
std::string unquoted(std::string_view text) {
    const bool quoted = text.size() >= 2 && text.front() == '"' && text.back() == '"';
    return std::string(quoted ? text.substr(1, text.size() - 2) : text);
}

std::string piece_text(const chat::Piece& piece) {
    return "#" + std::to_string(piece.id) + " \"" + core::sanitize(piece.text) + "\"";
}

Biases changed(Biases biases, TokenId id, float value) {
    std::erase_if(biases, [id](const auto& bias) { return bias.first == id; });
    if (value != 0) biases.emplace_back(id, value);
    std::ranges::sort(biases);
    return biases;
}

void set_bias(ChatApp& app, const chat::Piece& piece, float value) {
    app.settings().set_bias(changed(app.session().sampling().logit_bias, piece.id, value),
                            app.session());
    app.say(piece_text(piece) +
            (value == 0 ? " has no bias any more."
                        : ": " + bias_value_text(value) + ", from the next token on."));
}

// How the text is cut; more than one token have no bias together.
void preview(ChatApp& app, const std::string& text, const std::vector<chat::Piece>& pieces) {
    std::string rows = "\"" + core::sanitize(text) + "\" is " + std::to_string(pieces.size()) +
                       (pieces.size() == 1 ? " token:" : " tokens:");
    for (const chat::Piece& piece : pieces)
        rows += "\n  " + piece_text(piece);
    app.say(rows + (pieces.size() == 1 ? "" : "\nA bias is of one: /bias #ID=±X takes it."));
}

// Asks the engine how a word is spelled in tokens and goes on with those.
void with_pieces(ChatApp& app, const std::string& word,
                 std::function<void(ChatApp& app, const std::vector<chat::Piece>&)> then) {
    if (!app.session().model())
        usage("/bias", "no model is loaded", "/model PATH loads the one whose tokens are meant");
    const auto id = id_in(word);
    chat::Spell question;
    if (id)
        question.what = std::vector<TokenId>{*id};
    else
        question.what = unquoted(word);
    app.session().spell(
        std::move(question),
        [&app, then = std::move(then)](const Spelled& spelled) { then(app, spelled.pieces); });
}

void list_biases(ChatApp& app) {
    const Biases& biases = app.session().sampling().logit_bias;
    if (biases.empty()) return app.say("No token has a bias. " + std::string(kHelp));
    if (!app.session().model()) return app.say(bias_text(app.session().sampling()));
    chat::Spell question;
    std::vector<TokenId> ids;
    for (const auto& [id, value] : biases)
        ids.push_back(id);
    question.what = ids;
    app.session().spell(std::move(question), [&app, biases](const Spelled& spelled) {
        std::string rows;
        for (size_t i = 0; i < std::min(biases.size(), spelled.pieces.size()); ++i)
            rows += (rows.empty() ? "" : "\n") + piece_text(spelled.pieces[i]) + "  " +
                    bias_value_text(biases[i].second);
        app.say(rows);
    });
}

void reset_biases(ChatApp& app, std::string_view word) {
    if (word.empty()) {
        app.settings().set_bias({}, app.session());
        return app.toast("no token has a bias any more", app.now());
    }
    with_pieces(app, std::string(word), [](ChatApp& back, const std::vector<chat::Piece>& pieces) {
        for (const chat::Piece& piece : pieces)
            set_bias(back, piece, 0);
    });
}

void run_bias(ChatApp& app, std::string_view arguments) {
    const auto [word, rest] = split(arguments);
    if (word.empty() || word == "list") return list_biases(app);
    if (word == "reset") return reset_biases(app, rest);
    const size_t equals = arguments.rfind('=');
    const std::string text(arguments.substr(0, equals));
    const bool only_shown = equals == std::string_view::npos;
    if (text.empty()) usage("/bias", "no token is given", kHelp);
    const float value = only_shown ? 0 : value_in(arguments.substr(equals + 1));
    with_pieces(app, text, [=](ChatApp& back, const std::vector<chat::Piece>& pieces) {
        if (only_shown || pieces.size() != 1) return preview(back, unquoted(text), pieces);
        set_bias(back, pieces.front(), value);
    });
}

std::vector<std::string> complete_bias(const ChatApp& app, std::string_view begun) {
    std::vector<std::string> words = {"list", "reset"};
    for (const auto& [id, value] : app.session().sampling().logit_bias)
        words.push_back("#" + std::to_string(id) + "=");
    return beginning_with(last_word(begun), words);
}

constexpr std::array kCommands = {
    Command{"bias", "", "[TEXT=±X|#ID=±X|TEXT=ban|list|reset]",
            "tokens made likelier or less likely here; TEXT alone: how it is cut", "", run_bias,
            complete_bias},
};

}  // namespace

CommandGroup bias_commands() {
    return {.title = "Tokens", .commands = kCommands};
}

}  // namespace app
