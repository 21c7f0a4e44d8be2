// The message that is being written: its files, the editor's and the pager's turn, and the queue.
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/app/kept_chat.h"
#include "tests/support/temporary_folder.h"

namespace app {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr const char* kInterrupt = "\x03";

std::string last_message(const chat::Generate& request) {
    return std::get<std::vector<chat::Message>>(request.prompt).back().text;
}

class Message : public testing::Test {
  protected:
    Message() {
        ::setenv("XDG_RUNTIME_DIR", files.path().c_str(), 1);
        std::ofstream(path()) << "alpha\nbeta\n";
    }
    std::string path(const std::string& name = "notes.txt") const {
        return files.path() + "/" + name;
    }
    std::string as_sent(const std::string& words) const {
        return words + "\n\n" + path() + ":\n```\nalpha\nbeta\n```";
    }

    support::TemporaryFolder files;
    KeptFolder folder;
};

TEST_F(Message, FilesGoWithItAndAreShownWithLinesAndTokens) {
    KeptChat chat("");
    chat.ready();
    chat.enter("/file " + path());
    chat.until_seen("attached ▸ ▪ " + path() + " · 2 lines · ");
    chat.enter("explain");
    const auto save = chat.take_request<core::SaveTurns>();
    ASSERT_TRUE(save);
    ASSERT_EQ(save->turns.at(0).files.size(), 1U);
    EXPECT_EQ(save->turns[0].text, "explain") << "the words are kept apart";
    chat.tell(
        core::Saved{.id = save->id, .conversation = save->conversation, .conversation_id = "3f2a"});
    EXPECT_EQ(last_message(chat.take_generate().value()), as_sent("explain"));
    EXPECT_FALSE(chat.sees("attached ▸"));
    chat.until_seen("▪ " + path() + " · 2 lines · ");
}

TEST_F(Message, AMissingFileIsRefusedAndTheWordsStayInTheComposer) {
    KeptChat chat("");
    chat.ready();
    chat.enter("explain @" + path("none.txt"));
    EXPECT_TRUE(chat.sees("no such file")) << chat.screen();
    EXPECT_EQ(chat.app().composer_text(), "explain @" + path("none.txt"));
    EXPECT_FALSE(chat.take_request<core::SaveTurns>());
}

TEST_F(Message, FilesSurviveReopeningRegeneratingEditingAndExporting) {
    std::string id;
    {
        KeptChat chat(folder.path());
        chat.ready();
        chat.converse("explain @" + path(), {"Sure"});
        id = chat.session().saver().conversation_id();
    }
    fs::remove(path());
    KeptChat chat(folder.path(), {.resume = id});
    chat.ready();
    chat.until_seen("Sure");
    EXPECT_TRUE(chat.sees("▪ " + path() + " · 2 lines"));
    chat.type("\x18r");
    EXPECT_EQ(last_message(chat.take_generate().value()), as_sent("explain @" + path()));
    chat.finish();
    chat.until_idle();
    chat.enter("/edit");
    EXPECT_TRUE(chat.sees("attached ▸"));
    chat.type(
        "\x01"
        "please ");
    chat.enter("");
    chat.until([&] { return chat.session().activity() == Activity::prefill; }, "an answer");
    EXPECT_EQ(last_message(chat.take_generate().value()), as_sent("please explain @" + path()));
    chat.finish();
    chat.until_idle();
    chat.enter("/export " + path("out.jsonl"));
    chat.until_seen("Exported to");
    chat.enter("/import " + path("out.jsonl"));
    chat.until_seen("Imported 1");
    std::string imported;
    chat.until(
        [&] {
            for (const core::ConversationHead& head : chat.session().library().conversations())
                if (head.id != id) imported = head.id;
            return !imported.empty();
        },
        "the import in the list");
    chat.enter("/open " + imported);
    chat.until([&] { return chat.session().saver().conversation_id() == imported; }, "it");
    const chat::Conversation& copy = chat.conversation();
    EXPECT_EQ(copy.turn(copy.line().front()).whole_text(), as_sent("please explain @" + path()));
}

TEST_F(Message, WhatIsSentMeanwhileWaitsAndCanBeListedEditedAndDropped) {
    KeptChat chat(folder.path());
    chat.ready();
    chat.enter("first");
    chat.until([&] { return chat.session().activity() == Activity::prefill; }, "an answer");
    chat.enter("second");
    chat.enter("third @" + path());
    chat.enter("fourth");
    EXPECT_TRUE(chat.sees("queued ▸ second"));
    EXPECT_TRUE(chat.sees("q3"));
    chat.enter("/queue");
    EXPECT_TRUE(chat.sees("3 messages wait:")) << chat.screen();
    EXPECT_TRUE(chat.sees("2  third @" + path() + " (1 file)")) << chat.screen();
    chat.enter("/queue drop 1");
    EXPECT_EQ(chat.session().queue().size(), 2U);
    chat.type("\x19");
    EXPECT_EQ(chat.app().composer_text(), "second") << "C-y brings it back";
    chat.type(std::string("\x15"));
    chat.enter("/queue edit 1");
    EXPECT_EQ(chat.app().composer_text(), "third @" + path());
    chat.type(" now\r");
    chat.say({"One"});
    chat.finish();
    chat.until([&] { return chat.session().activity() == Activity::prefill; }, "the next");
    EXPECT_EQ(last_message(chat.take_generate().value()), "fourth");
    chat.finish();
    chat.until([&] { return chat.session().queue().empty() && !chat.session().sending(); },
               "the last");
    EXPECT_EQ(last_message(chat.take_generate().value()), as_sent("third @" + path() + " now"));
}

TEST_F(Message, StoppingGivesWhatWaitsBackWithItsFiles) {
    KeptChat chat(folder.path());
    chat.ready();
    chat.enter("first");
    chat.until([&] { return chat.session().activity() == Activity::prefill; }, "an answer");
    chat.enter("second @" + path());
    chat.enter("third");
    chat.type("begun");
    chat.type(kInterrupt);
    EXPECT_EQ(chat.app().composer_text(), "second @" + path() + "\nthird\nbegun");
    EXPECT_TRUE(chat.session().queue().empty());
    EXPECT_TRUE(chat.sees("attached ▸ ▪ " + path())) << chat.screen();
}

TEST_F(Message, QuittingAsksOnceWhileMessagesWait) {
    KeptChat chat(folder.path());
    chat.ready();
    chat.enter("first");
    chat.enter("second");
    chat.type("\x04");
    EXPECT_FALSE(chat.app().exit_status());
    EXPECT_TRUE(chat.sees("1 message waits; once more to quit")) << chat.screen();
    chat.type("\x04");
    EXPECT_EQ(chat.app().exit_status(), 0);
}

TEST_F(Message, TheEditorGetsTheMessageAndGivesItBack) {
    ::setenv("VISUAL", "an-editor", 1);
    KeptChat chat("");
    chat.ready();
    chat.type("one\ntwo");
    chat.type("\x18\x05");
    std::optional<Errand> errand = chat.app().take_errand();
    ASSERT_TRUE(errand);
    EXPECT_EQ(errand->command, "an-editor \"$1\"");
    std::ifstream in(errand->file);
    const std::string given{std::istreambuf_iterator<char>(in), {}};
    EXPECT_EQ(given, "one\ntwo\n");
    EXPECT_EQ(fs::status(errand->file).permissions(),
              fs::perms::owner_read | fs::perms::owner_write);
    std::ofstream(errand->file) << "three\nfour\n";
    chat.app().on_returned(*errand, 0, chat.app().now());
    EXPECT_EQ(chat.app().composer_text(), "three\nfour");
    EXPECT_FALSE(fs::exists(errand->file));

    chat.type("\x18\x05");
    errand = chat.app().take_errand();
    chat.app().on_returned(*errand, kNoSuchProgram, chat.app().now());
    chat.type(" five");
    EXPECT_EQ(chat.app().composer_text(), "three\nfour five") << "nothing is lost";
    EXPECT_TRUE(chat.sees("an-editor cannot be run; set $EDITOR.")) << chat.screen();
}

TEST_F(Message, ThePagerGetsTheConversationWithoutEscapeSequences) {
    ::setenv("PAGER", "a-pager -x", 1);
    KeptChat chat(folder.path());
    chat.ready();
    chat.converse("hello", {"red \x1b[31m text"});
    chat.type("\x18o");
    const std::optional<Errand> errand = chat.app().take_errand();
    ASSERT_TRUE(errand);
    EXPECT_EQ(errand->command, "a-pager -x");
    EXPECT_TRUE(errand->file_is_input);
    std::ifstream in(errand->file);
    const std::string given{std::istreambuf_iterator<char>(in), {}};
    EXPECT_THAT(given, HasSubstr("You: hello"));
    EXPECT_THAT(given, HasSubstr("red ␛[31m text"));
    chat.app().on_returned(*errand, 0, chat.app().now());
    EXPECT_FALSE(fs::exists(errand->file));
}

TEST_F(Message, PasteTakesWhatWasCopiedLast) {
    for (const char* variable : {"TMUX", "DISPLAY", "WAYLAND_DISPLAY"})
        ::unsetenv(variable);
    KeptChat chat(folder.path());
    chat.ready();
    chat.converse("hello", {"to copy"});
    chat.type(
        "\x18"
        "c");
    chat.enter("/paste");
    EXPECT_EQ(chat.app().composer_text(), "to copy");
    chat.type("\x15");
    chat.enter("/paste --as code");
    EXPECT_TRUE(chat.sees("attached ▸ ▪ pasted · 1 line")) << chat.screen();
}

}  // namespace
}  // namespace app
