// The list of conversations, the tree, the questions that one key answers, and the commands of
// saved conversations, on a headless screen with a real store.
#include <filesystem>
#include <fstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/chat/panel.h"
#include "app/commands/commands.h"
#include "app/commands/key_bindings.h"
#include "tests/app/kept_chat.h"

namespace app {
namespace {

namespace fs = std::filesystem;

constexpr const char* kF2 = "\x1bOQ";
constexpr const char* kF8 = "\x1b[19~";

class Panels : public testing::Test {
  protected:
    Panels() : chat(folder.path()) {
        chat.ready();
        chat.converse("explain lifetimes in one sentence please now", {"A", " lifetime"});
        first = chat.session().saver().conversation_id();
        chat.enter("/new");
        chat.converse("boil an egg", {"Seven", " minutes"});
        second = chat.session().saver().conversation_id();
    }

    KeptFolder folder;
    KeptChat chat;
    std::string first;
    std::string second;
};

TEST_F(Panels, TheListOpensBesideTheTranscriptAndTakesTheKeyboard) {
    chat.type(kF2);
    chat.until_seen("explain lifetimes in one");
    chat.until_seen("grok · 2 turns · 2 tokens");
    EXPECT_TRUE(chat.sees("│"));
    EXPECT_TRUE(chat.sees("Seven minutes")) << "the transcript stays";
    chat.type("zz");
    EXPECT_EQ(chat.app().composer_text(), "") << "what is typed does not leak into the composer";
    chat.type(kF2);
    EXPECT_FALSE(chat.sees("│"));
    chat.type("zz");
    EXPECT_EQ(chat.app().composer_text(), "zz");
}

TEST_F(Panels, EnterOpensAConversation) {
    chat.type("\x18s");
    chat.until_seen("explain lifetimes");
    chat.type("j\r");
    chat.until_seen("A lifetime");
    EXPECT_EQ(chat.session().saver().conversation_id(), first);
    EXPECT_FALSE(chat.sees("│"));
}

TEST_F(Panels, SlashFiltersTitlesAndTwoSlashesSearchWhatWasSaid) {
    chat.type(kF2);
    chat.until_seen("explain lifetimes");
    chat.type("/EGG");
    EXPECT_FALSE(chat.sees("explain lifetimes")) << chat.screen();
    chat.type("\x07");
    EXPECT_TRUE(chat.sees("explain lifetimes"));
    chat.type("//lifet");
    chat.until_seen("A [lifetime]");
    chat.type("\r\r");
    chat.until([&] { return chat.session().saver().conversation_id() == first; }, "the hit");
}

TEST_F(Panels, ConversationsAreRenamedPinnedDeletedAndBroughtBack) {
    chat.type(kF2);
    chat.until_seen("explain lifetimes");
    chat.type("jr");
    EXPECT_TRUE(chat.sees("title: explain lifetimes"));
    chat.type("\x15Rust\r");
    chat.until_seen("Renamed.");
    chat.until_seen("  Rust");
    chat.type("p");
    chat.until_seen("▲ Rust");
    chat.type("d");
    chat.until([&] { return !chat.sees("▲ Rust"); }, "a list without it");
    EXPECT_EQ(chat.session().saver().conversation_id(), second) << "another one was removed";
    chat.type("T");
    chat.until_seen("▲ Rust");
    chat.type("T");
    chat.until([&] { return !chat.sees("▲ Rust"); }, "the list");
    chat.type("U");
    chat.until_seen("A lifetime");
    EXPECT_EQ(chat.session().title(), "Rust");
}

TEST_F(Panels, SeveralConversationsAreActedOnAtOnce) {
    chat.type(kF2);
    chat.until_seen("● boil an egg");
    chat.type("g j ");
    EXPECT_TRUE(chat.sees("✓ boil an egg")) << chat.screen();
    EXPECT_TRUE(chat.sees("✓ explain lifetimes"));
    chat.type("p");
    chat.until_seen("▲ boil an egg");
    chat.until_seen("▲ explain lifetimes");
    EXPECT_FALSE(chat.sees("✓")) << "the next key acts on one again";
    chat.type("gp");
    chat.until([&] { return !chat.sees("▲ boil an egg") || !chat.sees("▲ explain lifetimes"); },
               "one without a pin");
}

TEST_F(Panels, AConversationOfTheListIsForked) {
    chat.type(kF2);
    chat.until_seen("● boil an egg");
    chat.type("jf");
    chat.until_seen("/open " + first + " goes back to it");
    EXPECT_TRUE(chat.sees("A lifetime"));
    EXPECT_FALSE(chat.sees("│")) << "the list is closed";
}

TEST_F(Panels, TheTreeShowsBranchesAndGoesToThem) {
    chat.type("\x18r");
    chat.until([&] { return chat.session().activity() == Activity::prefill; }, "prefill");
    chat.say({"Eight"});
    chat.finish();
    chat.until_idle();
    chat.type(kF8);
    EXPECT_TRUE(chat.sees("▸ boil an egg")) << chat.screen();
    EXPECT_TRUE(chat.sees("  ▾ Seven minutes"));
    EXPECT_TRUE(chat.sees("●   ▾ Eight"));
    chat.type("k\r");
    EXPECT_EQ(chat.conversation().tip(), 2U);
    EXPECT_TRUE(chat.sees("branch 1/2"));
}

TEST_F(Panels, ASubtreeIsRemovedAndTakenBack) {
    chat.converse("and goose eggs", {"Twelve"});
    chat.type("\x18t");
    chat.type("kD");
    EXPECT_FALSE(chat.sees("goose")) << chat.screen();
    EXPECT_EQ(chat.conversation().tip(), 2U);
    chat.type("U");
    EXPECT_TRUE(chat.sees("▸ and goose eggs")) << chat.screen();
    EXPECT_EQ(chat.conversation().tip(), 4U);
}

TEST_F(Panels, CommandsOfConversationsDoWhatTheySay) {
    chat.enter("/list egg");
    chat.until_seen(second + "  boil an egg · grok · 2 turns");
    chat.enter("/rename Breakfast");
    chat.until_seen("Renamed.");
    EXPECT_TRUE(chat.sees("grok · Breakfast"));
    chat.enter("/find lifetime --all");
    chat.until_seen(first + "  explain lifetimes in one sentence please: A [lifetime]");
    chat.enter("/find lifetime");
    chat.until_seen("Nothing was found.");
    chat.enter("/open lifetimes");
    chat.until_seen("A lifetime");
    chat.enter("/open nowhere");
    chat.until_seen("No conversation has the id nowhere");
    EXPECT_EQ(complete_command(chat.app(), "/open " + second.substr(0, 3)).size(), 1U);
    EXPECT_EQ(complete_command(chat.app(), "/open Break"), std::vector<std::string>{second});
}

TEST_F(Panels, ExportAndImportBringATreeBack) {
    const std::string path = folder.path() + "/out.jsonl";
    chat.enter("/export " + path);
    chat.until_seen("Exported to");
    chat.enter("/export " + path);
    chat.until_seen("is there already");
    EXPECT_EQ(complete_command(chat.app(), "/import " + folder.path() + "/ou"),
              std::vector<std::string>{path});
    chat.enter("/import " + path);
    chat.until_seen("Imported 1 conversation:");
    chat.enter("/export " + folder.path() + "/out.docx");
    chat.until_seen("there are jsonl, json, md, html, txt");
}

TEST(Offers, AfterACrashOneKeyContinuesTheAnswer) {
    const KeptFolder folder;
    leave_cut_off_answer(folder.path());
    KeptChat chat(folder.path(), {.resume = ""});
    chat.until_seen("c continue · r regenerate");
    chat.type("c");
    EXPECT_TRUE(chat.sees("not yet")) << chat.screen();
    chat.ready();
    chat.until_idle();
    chat.type("c");
    const auto request = chat.take_generate();
    ASSERT_TRUE(request);
    EXPECT_EQ(request->forced_prefix, (std::vector<chat::TokenId>{7, 8}));
    EXPECT_EQ(chat.app().composer_text(), "");
}

TEST(Offers, TypingAMessageIsNoAnswerToTheQuestion) {
    KeptChat chat("");
    chat.ready();
    chat.tell(core::StoreOpened{.access = core::StoreAccess::read_only,
                                .sentence = "Another moxie (pid 812) holds this database.",
                                .other_process = 812});
    EXPECT_TRUE(chat.sees("Continue here read-only, or with a temporary one?")) << chat.screen();
    chat.type("hi there");
    EXPECT_EQ(chat.app().composer_text(), "hi there");
    EXPECT_FALSE(chat.session().saver().temporary());
}

TEST(Offers, ASecondInstanceGoesOnTemporaryWithOneKey) {
    KeptChat chat("");
    chat.ready();
    chat.tell(core::StoreOpened{.access = core::StoreAccess::read_only,
                                .sentence = "Another moxie (pid 812) holds this database.",
                                .other_process = 812});
    chat.type("t");
    EXPECT_TRUE(chat.session().saver().temporary());
    EXPECT_EQ(chat.app().composer_text(), "");
}

// --- a selected message -----------------------------------------------------------------------

TEST_F(Panels, AMessageIsSelectedAndActedOn) {
    chat.converse("and goose eggs", {"Twelve"});
    chat.type("\x1b[1;3A");  // M-Up
    EXPECT_TRUE(chat.sees("message 4:")) << chat.screen();
    chat.type("k");
    EXPECT_TRUE(chat.sees("message 3:"));
    chat.type("zzz");
    EXPECT_EQ(chat.app().composer_text(), "") << "what is typed does not leak into the composer";
    chat.type("p");
    EXPECT_TRUE(chat.conversation().turn(3).flags.pinned);
    chat.type("x");
    EXPECT_TRUE(chat.conversation().turn(3).flags.excluded);
    chat.type("g");
    EXPECT_TRUE(chat.sees("message 1:"));
    chat.type("r");
    chat.until([&] { return chat.session().activity() == Activity::prefill; }, "another answer");
    chat.say({"Nine"});
    chat.finish();
    EXPECT_EQ(chat.conversation().siblings(2).size(), 2U);
    chat.type("\x1b[1;3A");
    chat.type("[");
    EXPECT_TRUE(chat.sees("Twelve")) << chat.screen();
    chat.type("GD");
    EXPECT_FALSE(chat.sees("Twelve"));
    chat.type("U");
    EXPECT_TRUE(chat.sees("Twelve")) << chat.screen();
    chat.type("ge");
    EXPECT_EQ(chat.app().composer_text(), "boil an egg");
    EXPECT_TRUE(chat.sees("editing message 1"));
}

// --- nothing is missing -----------------------------------------------------------------------

std::string read_file(const fs::path& path) {
    std::ifstream stream(path);
    return {std::istreambuf_iterator<char>(stream), {}};
}

TEST(Commands, EveryCommandAndKeyIsInTheHelpAndInTheReadme) {
    const std::string readme = read_file(fs::path(MOXIE_SOURCE_DIR) / "README.md");
    const std::string help = help_text(KeyBindings());
    for (const CommandGroup& group : command_groups())
        for (const Command& command : group.commands) {
            SCOPED_TRACE(command.name);
            EXPECT_FALSE(command.help.empty());
            EXPECT_NE(command.run, nullptr);
            EXPECT_NE(help.find(command.help), std::string::npos);
            if (group.reach == Reach::slash) {
                EXPECT_NE(readme.find("`/" + std::string(command.name)), std::string::npos);
                EXPECT_NE(help_text(command, true, KeyBindings()).find(command.help),
                          std::string::npos);
            }
            for (std::string_view keys = command.keys; !keys.empty();) {
                const size_t end = std::min(keys.find('|', 1), keys.size());
                const std::string key(keys.substr(0, end));
                EXPECT_NE(help.find(key), std::string::npos) << key;
                if (group.reach != Reach::browse) {
                    EXPECT_NE(readme.find("`" + key + "`"), std::string::npos) << key;
                }
                keys.remove_prefix(std::min(end + 1, keys.size()));
            }
        }
}

TEST(Commands, EveryKeyOfAPanelIsInTheHelp) {
    const std::string help = help_text(KeyBindings());
    for (const std::unique_ptr<Panel>& panel : all_panels())
        for (const PanelKey& key : panel->keys())
            EXPECT_NE(help.find(" " + std::string(key.key) + " " + std::string(key.help)),
                      std::string::npos)
                << panel->name() << " " << key.key;
}

TEST(Commands, NoKeyIsOnTwoCommandsAndNoNameIsGivenTwice) {
    std::vector<std::string> seen;
    for (const CommandGroup& group : command_groups())
        for (const Command& command : group.commands) {
            const std::string sign = group.reach == Reach::slash ? "/" : "";
            std::vector<std::string> names = {sign + std::string(command.name)};
            if (!command.alias.empty()) names.push_back("/" + std::string(command.alias));
            const std::string where = group.reach == Reach::browse ? "browsing " : "";
            for (std::string_view keys = command.keys; !keys.empty();) {
                const size_t end = std::min(keys.find('|', 1), keys.size());
                names.push_back(where + std::string(keys.substr(0, end)));
                keys.remove_prefix(std::min(end + 1, keys.size()));
            }
            for (const std::string& name : names) {
                EXPECT_THAT(seen, testing::Not(testing::Contains(name)));
                seen.push_back(name);
            }
        }
}

}  // namespace
}  // namespace app
