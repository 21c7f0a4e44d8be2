#include "app/commands/key_bindings.h"

#include <algorithm>
#include <utility>

#include "app/settings/nearest.h"
#include "core/base/utf8.h"
#include "ui/key_names.h"

namespace app {
namespace {

struct Action {
    const Command* command = nullptr;
    bool browsing = false;  // its keys are those of a selected message
};

std::vector<Action> actions() {
    std::vector<Action> all;
    for (const CommandGroup& group : command_groups())
        for (const Command& command : group.commands)
            all.push_back({.command = &command, .browsing = group.reach == Reach::browse});
    return all;
}

bool is_named(const Action& action, std::string_view name) {
    return action.command->name == name ||
           (!action.command->alias.empty() && action.command->alias == name);
}

std::string joined(const std::vector<std::string>& keys) {
    std::string text;
    for (const std::string& key : keys)
        text += (text.empty() ? "" : "|") + key;
    return text;
}

}  // namespace

bool any_key(std::string_view keys, const std::function<bool(std::string_view)>& use) {
    while (!keys.empty()) {
        // "|" may be a key itself: it is never the first sign of a name that goes on.
        const size_t end = std::min(keys.find('|', 1), keys.size());
        if (use(keys.substr(0, end))) return true;
        keys.remove_prefix(std::min(end + 1, keys.size()));
    }
    return false;
}

KeyBindings::KeyBindings(const Config& config) {
    for (const KeyWish& wish : config.key_wishes())
        take(wish);
    // Two actions may have changed places, so conflicts are looked for at the end.
    const std::vector<Action> all = actions();
    for (const KeyWish& wish : config.key_wishes())
        for (const Action& action : all) {
            if (!is_named(action, wish.action) || !keys_.contains(action.command)) continue;
            const std::string mine = keys_[action.command];
            for (const Action& other : all) {
                const bool same = other.command == action.command ||
                                  other.browsing != action.browsing ||
                                  other.command->applies != nullptr;
                std::string_view shared;
                any_key(keys_of(*other.command), [&](std::string_view key) {
                    const bool hit =
                        any_key(mine, [key](std::string_view one) { return one == key; });
                    if (hit) shared = key;
                    return hit;
                });
                if (same || shared.empty()) continue;
                std::string text = wish.where + ": ";
                text.append(shared).append(" is on ").append(action.command->name);
                text.append(" and on ").append(other.command->name).append(". ");
                text.append(action.command->name).append(" keeps its own keys.");
                notices_.push_back({.text = std::move(text)});
                keys_.erase(action.command);
                break;
            }
        }
}

void KeyBindings::take(const KeyWish& wish) {
    const auto refuse = [&](const std::string& problem) {
        notices_.push_back({.text = wish.where + ": " + problem + " It is ignored."});
    };
    for (const std::string& key : wish.keys)
        if (!ui::is_key_name(key))
            return refuse("\"" + core::sanitize(key) +
                          "\" is no key; they are written C-x r, M-v, "
                          "F5, PgUp.");
    bool known = false;
    std::vector<std::string_view> names;
    for (const Action& action : actions()) {
        names.push_back(action.command->name);
        if (!is_named(action, wish.action)) continue;
        known = true;
        keys_[action.command] = joined(wish.keys);
    }
    if (known) return;
    const auto meant = similar(wish.action, names);
    refuse("there is no action \"" + core::sanitize(wish.action) + "\"" +
           (meant ? " — did you mean \"" + std::string(*meant) + "\"?" : "; /help lists them."));
}

std::string_view KeyBindings::keys_of(const Command& command) const {
    const auto found = keys_.find(&command);
    return found == keys_.end() ? command.keys : std::string_view(found->second);
}

}  // namespace app
