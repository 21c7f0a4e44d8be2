// docs/config.md, made from the table of keys.
#include <string>

#include "app/settings/config_keys.h"
#include "app/settings/config_text.h"

namespace app {
namespace {

constexpr std::string_view kIntroduction =
    R"(# Configuration

<!-- Made from app/settings/config_keys.cpp. tests/app/config_docs_test.cpp compares; MOXIE_UPDATE_DOCS=1
     makes it anew. -->

moxie reads `$XDG_CONFIG_HOME/moxie/config.toml` (usually `~/.config/moxie/config.toml`) and before it
`/etc/xdg/moxie/config.toml`. Both may be missing and every key is optional. moxie never writes them;
`moxie config edit` makes the file when there is none and opens it in `$VISUAL` or `$EDITOR`.

What holds is what the strongest of these says: flag, variable `MOXIE_SECTION_KEY`, the file of
`--config` or the user's file, the system's file, the built-in value. `moxie config show --origin` tells
who said what. For sampling: `/set` in this session, flag, what the conversation was saved with, preset,
profile of the model, `[sampling]` of all the above, built-in; `/show params` tells the source of each.

A mistake is told with file, line and what was probably meant, and the program goes on with the value that
holds without it; `--strict-config` ends it with status 3. `moxie config check` looks for mistakes only.
`/config reload` in the chat reads the files again.

In variables, lists are separated by commas: `MOXIE_MODELS_DIRS=/models,/srv/models`.
)";

constexpr std::string_view kProfiles =
    R"(
## [model_profile."GLOB"]

What holds for models whose name, or file name without its ending, fits the pattern (`*`, `?`, `[...]`,
no difference between capital and small letters). `ctx`, `kv_type`, `preset`, `template` (a chat format) and
every key of `[sampling]`. Of several that fit, the last one wins.

    [model_profile."grok-2*"]
    ctx = 16384
    preset = "precise"

## [keys]

Other keys for an action, in the place of its own: a name of `/help` (that of a command without the slash) and
a key, a list of keys, or `"none"`. Keys are written as there: `C-x r`, `M-v`, `F5`, `PgUp`, `Space`. A key that
two actions would be on is told as a mistake, and the action keeps its own.

    [keys]
    regen = ["C-x r", "F6"]
    suspend = "none"

## Presets

A preset is a set of sampling parameters, `presets/NAME.toml` beside config.toml: lines
`temperature = 0.3`, the keys of `[sampling]`. `/preset load NAME` puts it in force, `/preset save NAME`
writes what is in force, `/preset list` and `/preset diff NAME` show them.

A persona is a text that stands in front of a conversation, `personas/NAME.md`; a prompt is a text for the
composer, `prompts/NAME.md`. `/persona NAME` and `/prompt NAME` use them, `save NAME`, `edit NAME` and
`rm NAME` change them, `/system @NAME` and `/new --system @NAME` take a persona too. The files are the
truth: a conversation keeps the text that it was answered under, never the name, so that a file that
changes changes nothing that was said. (The table `persona` of the database is not used.)

## Known, without effect in this version

)";

std::string row(const ConfigKey& key) {
    std::string help(key.help);
    if (!key.choices.empty()) {
        std::string choices;
        for (const char c : key.choices)
            choices += c == '|' ? std::string("`, `") : std::string(1, c);
        help += ": `" + choices + "`";
    }
    return "| `" + std::string(key.name) + "` | `" + toml_text(built_in(key)) + "` | " + help +
           " |\n";
}

}  // namespace

std::string config_reference() {
    std::string text(kIntroduction);
    std::string later;
    std::string_view section = "none";
    for (const ConfigKey& key : config_keys()) {
        if (!key.effective()) {
            later += "- `" + full_name(key) + "` (" + toml_text(built_in(key)) +
                     "): " + std::string(key.help) + ". Comes with " + std::string(key.waits_for) +
                     "\n";
            continue;
        }
        if (key.section != section) {
            text += key.section.empty() ? "\n## At the top\n\n"
                                        : "\n## [" + std::string(key.section) + "]\n\n";
            text += "| key | built-in | |\n|---|---|---|\n";
            section = key.section;
        }
        text += row(key);
    }
    return text + std::string(kProfiles) + later +
           "- every key of `[backends.NAME]`. Comes with remote backends\n";
}

}  // namespace app
