// Keys that the configuration gives to actions.
#include "app/commands/key_bindings.h"

#include <fstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/app/kept_chat.h"
#include "tests/support/temporary_folder.h"

namespace app {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Config configured(const std::string& keys) {
    const support::TemporaryFolder folder;
    const std::string path = folder.path() + "/config.toml";
    std::ofstream(path) << "[keys]\n" << keys;
    return Config::load({.user_file = path});
}

std::string keys_of(const KeyBindings& bindings, std::string_view name) {
    for (const CommandGroup& group : command_groups())
        for (const Command& command : group.commands)
            if (command.name == name) return std::string(bindings.keys_of(command));
    return "no such action";
}

std::vector<std::string> mistakes(const std::string& keys) {
    std::vector<std::string> texts;
    const KeyBindings bindings(configured(keys));
    for (const ConfigNotice& notice : bindings.notices())
        texts.push_back(notice.text);
    return texts;
}

TEST(KeyBindings, ReplaceThoseOfAnActionOrTakeThemAway) {
    const KeyBindings bindings(configured("regen = [\"C-x R\", \"F12\"]\nsuspend = \"none\"\n"));
    EXPECT_TRUE(bindings.notices().empty());
    EXPECT_EQ(keys_of(bindings, "regen"), "C-x R|F12");
    EXPECT_EQ(keys_of(bindings, "suspend"), "");
    EXPECT_EQ(keys_of(bindings, "fork"), "C-x b");
    EXPECT_THAT(help_text(bindings), HasSubstr("[C-x R, F12]"));
}

TEST(KeyBindings, ActionsHaveTheNamesThatTheManualGivesThem) {
    const KeyBindings bindings(
        configured("regenerate = [\"C-x R\"]\nnewline = [\"C-j\", \"M-Enter\"]\n"));
    EXPECT_TRUE(bindings.notices().empty());
    EXPECT_EQ(keys_of(bindings, "regen"), "C-x R");
}

TEST(KeyBindings, TwoActionsMayChangePlaces) {
    EXPECT_TRUE(mistakes("pager = \"C-x b\"\nfork = \"C-x o\"\n").empty());
}

TEST(KeyBindings, AConflictIsAMistakeAndTheActionKeepsItsOwnKeys) {
    EXPECT_THAT(
        mistakes("pager = \"C-x b\"\n"),
        ElementsAre("config.toml:2: C-x b is on pager and on fork. pager keeps its own keys."));
    const KeyBindings bindings(configured("pager = \"C-x b\"\n"));
    EXPECT_EQ(keys_of(bindings, "pager"), "C-x o");
}

TEST(KeyBindings, UnknownActionsAndKeysAreToldWithTheLine) {
    EXPECT_THAT(mistakes("pagr = \"F12\"\n"),
                ElementsAre(HasSubstr("config.toml:2: there is no action \"pagr\" — did you mean "
                                      "\"pager\"?")));
    EXPECT_THAT(mistakes("pager = \"Ctrl+b\"\n"),
                ElementsAre(HasSubstr("config.toml:2: \"Ctrl+b\" is no key")));
}

TEST(KeyBindings, AreWhatTheKeyboardObeys) {
    KeptChat chat("", {.config = configured("browse = \"F12\"\nhelp = \"C-x H\"\n")});
    chat.ready();
    chat.type("\x18H");
    EXPECT_TRUE(chat.sees("each knows --help")) << chat.screen();
    chat.type("\x18?");
    EXPECT_EQ(chat.app().composer_text().find('/'), std::string::npos);
}

}  // namespace
}  // namespace app
