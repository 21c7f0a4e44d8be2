#include "app/settings/config_text.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <variant>
#include <vector>

#include <nlohmann/json.hpp>

#include "app/settings/nearest.h"
#include "core/base/error.h"
#include "core/base/utf8.h"

namespace app {
namespace {

using Json = nlohmann::ordered_json;

void pad(std::string& text, size_t columns) {
    text.resize(std::max(text.size(), columns), ' ');
}

bool fits(const ConfigKey& key, const std::string& wanted) {
    return wanted.empty() || wanted == full_name(key) ||
           (!key.section.empty() && wanted == key.section);
}

void require_known(const std::string& wanted) {
    const auto keys = config_keys();
    if (std::ranges::any_of(keys, [&](const ConfigKey& key) { return fits(key, wanted); })) return;
    std::vector<std::string> names;
    std::ranges::transform(keys, std::back_inserter(names), full_name);
    const std::vector<std::string_view> views(names.begin(), names.end());
    const auto meant = similar(wanted, views);
    throw core::Error(core::ErrorKind::usage, wanted, "there is no such key or section",
                      meant ? "did you mean " + std::string(*meant)
                            : "moxie config show lists those that there are");
}

Json to_json(const ConfigValue& value) {
    return std::visit([](const auto& v) { return Json(v); }, value);
}

std::string profile_listing(const Config& config, bool origin) {
    std::string text;
    for (const ModelProfile& profile : config.profiles()) {
        text += "\n[model_profile." + toml_text(profile.glob) + "]\n";
        for (const auto& [name, setting] : profile.settings) {
            std::string line = name + " = " + toml_text(setting.value);
            if (origin) pad(line, 33);
            text += line + (origin ? " # " + setting.origin : "") + "\n";
        }
    }
    return text;
}

}  // namespace

std::string config_listing(const Config& config, const std::string& wanted, bool origin) {
    require_known(wanted);
    std::string text;
    std::string_view section;
    for (const ConfigKey& key : config_keys()) {
        if (!fits(key, wanted)) continue;
        if (key.section != section) {
            text += (text.empty() ? "[" : "\n[") + std::string(key.section) + "]\n";
            section = key.section;
        }
        const Setting& setting = config.setting(full_name(key));
        std::string line = std::string(key.name) + " = " + toml_text(setting.value);
        std::string aside = origin ? setting.origin : "";
        if (!key.effective())
            aside += (aside.empty() ? "" : ", ") + std::string("no effect in this version");
        if (!aside.empty()) {
            pad(line, 33);
            line += " # " + aside;
        }
        text += line + "\n";
    }
    if (wanted.empty()) text += profile_listing(config, origin);
    return core::sanitize(text);
}

std::string config_json(const Config& config, const std::string& wanted) {
    require_known(wanted);
    Json list = Json::array();
    for (const ConfigKey& key : config_keys()) {
        if (!fits(key, wanted)) continue;
        const Setting& setting = config.setting(full_name(key));
        list.push_back({{"key", full_name(key)},
                        {"value", to_json(setting.value)},
                        {"origin", setting.origin},
                        {"effective", key.effective()}});
    }
    return list.dump(2, ' ', true, Json::error_handler_t::replace);
}

std::string config_template() {
    std::string text =
        "# Configuration of moxie. Every key is optional; the values shown are the built-in ones.\n"
        "# docs/config.md explains them; `moxie config check` finds mistakes.\n\n";
    std::string_view section;
    for (const ConfigKey& key : config_keys()) {
        if (key.section != section) text += "\n[" + std::string(key.section) + "]\n";
        section = key.section;
        std::string line = "# " + std::string(key.name) + " = " + toml_text(built_in(key));
        pad(line, 35);
        line += " # " + std::string(key.help);
        if (!key.choices.empty()) line += ": " + std::string(key.choices);
        text += line + (key.effective() ? "" : " (no effect in this version)") + "\n";
    }
    return text +
           "\n# [model_profile.\"grok-2*\"]         # for models whose name fits\n"
           "# ctx = 16384\n# preset = \"precise\"\n# template = \"grok-2\"\n";
}

}  // namespace app
