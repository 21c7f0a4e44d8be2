// Instructions and prompts that are kept under names, biases of tokens, commands of the shell, the
// doctor: what is asked for with a word and answered with texts.
#include <sys/stat.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/machine/doctor.h"
#include "app/subcommands/doctor_cmd.h"
#include "tests/app/kept_chat.h"
#include "tests/support/temporary_folder.h"

namespace app {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

constexpr const char* kInterrupt = "\x03";

class Words : public testing::Test {
  protected:
    Words() {
        for (const char* name : {"HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME",
                                 "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"})
            ::setenv(name, home.path().c_str(), 1);
    }
    ~Words() override = default;

    std::string path(const std::string& name) const { return home.path() + "/moxie/" + name; }

    support::TemporaryFolder home;
    KeptFolder folder;
};

// --- personas and prompts -----------------------------------------------------------------------

TEST_F(Words, APersonaIsSavedUsedListedAndRemoved) {
    KeptChat chat("");
    chat.ready();
    chat.enter("/persona save brief Answer in one line.");
    EXPECT_EQ(support::content_of(path("personas/brief.md")), "Answer in one line.\n");
    EXPECT_EQ(fs::status(path("personas/brief.md")).permissions(), fs::perms(0600));
    chat.enter("/persona brief");
    EXPECT_EQ(chat.conversation().system(), "Answer in one line.");
    chat.enter("/persona");
    EXPECT_TRUE(chat.sees("brief  ● in use")) << chat.screen();
    chat.enter("/system Something else.");
    chat.enter("/persona save other");
    EXPECT_EQ(support::content_of(path("personas/other.md")), "Something else.\n");
    chat.enter("/persona rm brief");
    EXPECT_FALSE(fs::exists(path("personas/brief.md")));
    chat.enter("/persona otehr");
    EXPECT_TRUE(chat.sees("otehr: no such persona, did you mean other")) << chat.screen();
    chat.enter("/persona brief");
    EXPECT_TRUE(chat.sees("brief: no such persona, there are: other")) << chat.screen();
    EXPECT_EQ(chat.conversation().system(), "Something else.");
}

TEST_F(Words, AConversationKeepsTheTextOfAPersonaAndNotItsName) {
    std::string id;
    {
        KeptChat chat(folder.path());
        chat.ready();
        chat.enter("/persona save brief Answer in one line.");
        chat.enter("/persona brief");
        chat.converse("hello", {"Hi."});
        id = chat.session().saver().conversation_id();
        chat.enter("/persona save brief Answer at length.");
    }
    KeptChat chat(folder.path(), {.resume = id});
    chat.ready();
    chat.until_seen("Hi.");
    EXPECT_EQ(chat.conversation().system(), "Answer in one line.");
}

TEST_F(Words, SystemAndNewTakeAPersonaBehindTheSignOfAFileAndTabOffersIt) {
    KeptChat chat("");
    chat.ready();
    chat.enter("/persona save zzbrief Answer in one line.");
    chat.type("/system @zzb\t");
    EXPECT_EQ(chat.app().composer_text(), "/system @zzbrief ");
    chat.enter("");
    EXPECT_EQ(chat.conversation().system(), "Answer in one line.");
    chat.enter("/system off");
    chat.enter("/new a title --system @zzbrief");
    EXPECT_EQ(chat.conversation().system(), "Answer in one line.");
    chat.type("/persona zz\t");
    EXPECT_EQ(chat.app().composer_text(), "/persona zzbrief ");
}

TEST_F(Words, APromptComesIntoTheComposerAndTheLastMessageCanBecomeOne) {
    KeptChat chat(folder.path());
    chat.ready();
    chat.enter("/prompt save fix");
    EXPECT_TRUE(chat.sees("there is no message to keep yet")) << chat.screen();
    chat.converse("find the mistake", {"There is none."});
    chat.enter("/prompt save fix");
    EXPECT_EQ(support::content_of(path("prompts/fix.md")), "find the mistake\n");
    chat.enter("/prompt fix");
    EXPECT_EQ(chat.app().composer_text(), "find the mistake");
    chat.type(kInterrupt);
    chat.enter("/prompt save rm");
    EXPECT_TRUE(chat.sees("is a word of the command")) << chat.screen();
    chat.enter("/prompt save a/b x");
    EXPECT_TRUE(chat.sees("is no name for one")) << chat.screen();
    chat.enter("/prompt --help");
    EXPECT_TRUE(chat.sees("/prompt [NAME|save NAME [TEXT]|edit NAME|rm NAME]")) << chat.screen();
}

// --- biases -------------------------------------------------------------------------------------

TEST_F(Words, ABiasIsOfOneTokenAndOfThisConversation) {
    std::string id;
    {
        KeptChat chat(folder.path());
        chat.ready();
        chat.enter("/bias x=+2.5");
        chat.until_seen("#120 \"x\": +2.5, from the next token on.");
        chat.enter("/bias #121=ban");
        chat.until_seen("#121 \"y\": ban");
        EXPECT_THAT(chat.session().sampling().logit_bias,
                    ElementsAre(Pair(120, 2.5F), Pair(121, -INFINITY)));
        chat.converse("hello", {"Hi."});
        id = chat.session().saver().conversation_id();
        chat.enter("/new");
        EXPECT_TRUE(chat.session().sampling().logit_bias.empty());
    }
    KeptChat chat(folder.path(), {.resume = id});
    chat.ready();
    chat.until_seen("Hi.");
    EXPECT_THAT(chat.session().sampling().logit_bias,
                ElementsAre(Pair(120, 2.5F), Pair(121, -INFINITY)));
    chat.enter("/bias");
    chat.until_seen("#121 \"y\"  ban");
    chat.enter("/bias reset y");
    chat.until_seen("has no bias any more");
    EXPECT_THAT(chat.session().sampling().logit_bias, ElementsAre(Pair(120, 2.5F)));
    chat.enter("/bias reset");
    EXPECT_TRUE(chat.session().sampling().logit_bias.empty());
    chat.enter("and");
    chat.until([&] { return chat.session().activity() == Activity::prefill; }, "an answer");
    EXPECT_TRUE(chat.take_generate().value().sampling.logit_bias.empty());
}

TEST_F(Words, ABiasIsOfTheModelWhoseTokenItIsAndGoesWithIt) {
    {
        KeptChat chat(folder.path());
        chat.ready();
        chat.enter("/bias x=+2.5");
        chat.until_seen("from the next token on.");
        chat.enter("/model /models/default.gguf");
        chat.ready();  // the same again: its tokens are what they were
        EXPECT_THAT(chat.session().sampling().logit_bias, ElementsAre(Pair(120, 2.5F)));
        chat.converse("hello", {"Hi."});
        chat.enter("/model /models/other.gguf");
        chat.enter("waits");  // answered as soon as the model is there
        chat.ready("other");
        chat.until_seen(
            "The biases of tokens are dropped: #120 +2.5 were set for grok, whose tokens");
        chat.until([&] { return chat.session().activity() == Activity::prefill; }, "an answer");
        EXPECT_TRUE(chat.take_generate().value().sampling.logit_bias.empty());
        EXPECT_TRUE(chat.session().sampling().logit_bias.empty());
        chat.say({"yes"});
        chat.finish();
        chat.enter("/set temperature 0.5");  // what was dropped does not come back
        EXPECT_TRUE(chat.session().sampling().logit_bias.empty());
    }
    KeptChat chat(folder.path());
    chat.ready();
    chat.enter("/bias x=+2.5");
    chat.until_seen("from the next token on.");
    chat.converse("hello", {"Hi."});
    const std::string id = chat.session().saver().conversation_id();
    chat.enter("/new");
    chat.enter("/model /models/other.gguf");
    chat.ready("other");
    chat.enter("/open " + id);
    chat.until_seen("The biases of tokens are dropped");
    EXPECT_TRUE(chat.session().sampling().logit_bias.empty());
}

TEST_F(Words, SeveralTokensAreShownAndGetNoBias) {
    KeptChat chat("");
    chat.ready();
    chat.enter("/bias \"a b\"=-1");
    chat.until_seen("\"a b\" is 3 tokens:");
    EXPECT_TRUE(chat.sees("#32 \" \"")) << chat.screen();
    EXPECT_TRUE(chat.sees("/bias #ID=±X takes it")) << chat.screen();
    EXPECT_TRUE(chat.session().sampling().logit_bias.empty());
    chat.enter("/bias x=1000");
    EXPECT_TRUE(chat.sees("use a number from -100 to 100, or ban")) << chat.screen();
}

TEST_F(Words, ABiasChangedWithinAnAnswerIsInForceFromTheNextTokenOn) {
    KeptChat chat(folder.path());
    chat.ready();
    chat.enter("count");
    chat.until([&] { return chat.take_generate().has_value(); }, "a Generate");
    chat.say({"one"});
    chat.enter("/bias x=ban");
    chat.until_seen("┊bias @1┊");
}

TEST_F(Words, TextsThatEndAnAnswerAreOfThisConversation) {
    std::string id;
    {
        KeptChat chat(folder.path());
        chat.ready();
        chat.enter("/stop-at \"the end\" END");
        chat.converse("hello", {"Hi."});
        id = chat.session().saver().conversation_id();
        chat.enter("/new");
        EXPECT_TRUE(chat.session().stop_texts().empty());
    }
    KeptChat chat(folder.path(), {.resume = id});
    chat.ready();
    chat.until_seen("Hi.");
    EXPECT_THAT(chat.session().stop_texts(), ElementsAre("the end", "END"));
    chat.enter("/bias x=1");
    chat.until_seen("#120");
    chat.enter("/show params");
    EXPECT_TRUE(chat.sees("\"the end\", \"END\"")) << chat.screen();
    EXPECT_TRUE(chat.sees("logit_bias          #120 +1")) << chat.screen();
}

// --- commands of the shell ----------------------------------------------------------------------

TEST_F(Words, WhatACommandPrintsGoesWithTheNextMessageOnceItIsConfirmed) {
    KeptChat chat("");
    chat.ready();
    chat.enter("/run !echo one; echo two >&2; tty || printf 'no\\033[2J terminal'");
    EXPECT_TRUE(chat.sees("run in sh: echo one; ")) << chat.screen();
    EXPECT_EQ(chat.app().background(), nullptr) << "it ran before it was confirmed";
    chat.type("\r");
    EXPECT_EQ(chat.app().background(), nullptr) << "Enter is no confirmation";
    chat.type("y");
    chat.until_seen("attached 4 lines, status 0");
    const auto& files = chat.app().message_files().attached();
    ASSERT_EQ(files.size(), 1U);
    EXPECT_EQ(files[0]->text, "one\ntwo\nnot a tty\nno␛[2J terminal");
}

TEST_F(Words, ACommandThatIsNotConfirmedDoesNotRun) {
    KeptChat chat("");
    chat.ready();
    const std::string trace = home.path() + "/trace";
    for (const char* no : {"n", kInterrupt, "\x07"}) {
        chat.enter("/run !touch " + trace);
        EXPECT_TRUE(chat.sees("run in sh:")) << chat.screen();
        chat.type(no);
        EXPECT_FALSE(chat.sees("run in sh:")) << chat.screen();
    }
    chat.enter("/run touch " + trace);
    EXPECT_TRUE(chat.sees("/run !COMMAND")) << chat.screen();
    EXPECT_EQ(chat.app().background(), nullptr);
    EXPECT_FALSE(fs::exists(trace));
}

TEST_F(Words, CtrlCStopsACommandAndTypingGoesOnMeanwhile) {
    KeptChat chat("");
    chat.ready();
    chat.enter("/run !echo begun; sleep 1000");
    chat.type("y");
    EXPECT_TRUE(chat.sees("running echo begun; sleep 1000 (C-c stops it)")) << chat.screen();
    chat.type("typed meanwhile");
    EXPECT_TRUE(chat.sees("> typed meanwhile"));
    chat.type("\x15");
    chat.enter("/run !true");
    EXPECT_TRUE(chat.sees("another command still runs")) << chat.screen();
    chat.until([&] { return !chat.app().background()->output().empty(); }, "output");
    chat.type(kInterrupt);
    chat.until_seen("attached 1 line, stopped");
    EXPECT_EQ(chat.app().background(), nullptr);
}

TEST_F(Words, ACommandThatPrintsWithoutEndIsEndedAndWhatItPrintedIsCut) {
    KeptChat chat("");
    chat.ready();
    chat.enter("/run !yes");
    chat.type("y");
    chat.until_seen("prints more than");
    ASSERT_EQ(chat.app().message_files().attached().size(), 1U);
    EXPECT_EQ(chat.app().message_files().attached()[0]->text.size() + 1, kMostOutput)
        << "the last line end is not kept";
    chat.enter("/run !false");
    chat.type("y");
    chat.until_seen("printed nothing, status 1");
}

// --- the cache of other conversations
// -------------------------------------------------------------

TEST_F(Words, KvActsOnASavedConversationByItsIdOrTitle) {
    KeptChat chat(folder.path());
    chat.ready();
    chat.converse("about foxes", {"Red."});
    const std::string id = chat.session().saver().conversation_id();
    chat.enter("/new");
    chat.until([&] { return !chat.session().library().conversations().empty(); }, "a list");
    chat.take_kv();
    const auto asked = [&](chat::KvAction action) {
        std::optional<chat::Kv> found;
        chat.until(
            [&] {
                for (chat::Kv& request : chat.take_kv())
                    if (request.action == action && !request.lines.empty())
                        found = std::move(request);
                return found.has_value();
            },
            "a Kv");
        return *found;
    };
    chat.enter("/kv drop foxes");
    const chat::Kv drop = asked(chat::KvAction::drop);
    ASSERT_EQ(drop.lines.size(), 1U);
    EXPECT_EQ(drop.lines[0].back().text, "Red.");
    chat.emit(chat::Done{.id = drop.id});
    chat.until_seen("Dropped; the next answer reads it all again.");
    chat.enter("/kv list " + id);
    const chat::Kv list = asked(chat::KvAction::list);
    chat.emit(chat::KvListed{.id = list.id, .entries = {{.tokens = 70, .resident = 70}}});
    chat.until_seen(id + " about foxes: ● resident, 70 tokens");
    chat.enter("/kv save nothing-like-it");
    EXPECT_TRUE(chat.sees("no such conversation")) << chat.screen();
}

// --- the doctor
// -----------------------------------------------------------------------------------

TEST_F(Words, TheDoctorSaysWhatIsFineAndWhatIsNot) {
    ::setenv("TERM", "no-such-terminal", 1);
    ::setenv("LC_ALL", "C.UTF-8", 1);
    fs::create_directories(path(""));
    fs::permissions(path(""), fs::perms(0755));
    const Config config = Config::load({});
    std::ostringstream out;
    EXPECT_EQ(
        run_doctor({.data_folder = path("data"), .kv_folder = path("kv"), .config = config}, out),
        0);
    EXPECT_THAT(out.str(), HasSubstr("!!  terminal    no-such-terminal"));
    EXPECT_THAT(out.str(), HasSubstr("install ncurses-term"));
    EXPECT_THAT(out.str(), HasSubstr("ok  locale      C.UTF-8"));
    EXPECT_THAT(out.str(), HasSubstr(", mode 0755"));
    EXPECT_THAT(out.str(), HasSubstr("chmod 700 " + home.path() + "/moxie"));
    EXPECT_THAT(out.str(), HasSubstr("ok  chats       none are saved yet"));
    EXPECT_THAT(out.str(), HasSubstr("processor   "));
    EXPECT_THAT(out.str(), HasSubstr("things to look at."));
    std::ostringstream json;
    run_doctor(
        {.data_folder = path("data"), .kv_folder = path("kv"), .json = true, .config = config},
        json);
    EXPECT_THAT(json.str(), HasSubstr("\"subject\": \"terminal\",\n  \"ok\": false"));
}

TEST_F(Words, TheDoctorLooksAtTheDatabaseInTheChatToo) {
    KeptChat chat(folder.path());
    chat.ready();
    chat.converse("hello", {"Hi."});
    chat.enter("/doctor");
    chat.until_seen("1 conversation, 2 turns, the database is whole");
    EXPECT_TRUE(chat.sees("KV cache")) << chat.screen();
}

}  // namespace
}  // namespace app
