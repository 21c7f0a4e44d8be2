// The KV state of every conversation in the list and of every branch in the tree.
#include "app/session/line_states.h"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/app/kept_chat.h"

namespace app {
namespace {

// An engine that knows lines by the text of their last message.
class StatesOfLines : public testing::Test {
  public:
    ~StatesOfLines() override = default;

  protected:
    // Answers what was asked; returns how many questions that were.
    size_t answer() {
        const std::vector<chat::Kv> asked = chat.take_kv();
        for (const chat::Kv& question : asked) {
            if (question.action != chat::KvAction::list) {
                chat.emit(chat::Done{.id = question.id});
                continue;
            }
            chat::KvListed listed{.id = question.id};
            for (const auto& line : question.lines)
                listed.entries.push_back(entries[line.back().text]);
            chat.emit(std::move(listed));
        }
        return asked.size();
    }
    void until_answered() {
        chat.until([&] { return answer() == 0 && !chat.session().line_states().waiting(); },
                   "end of the questions");
    }
    void until_shown(const std::string& text) {
        chat.until([&] { return answer(), chat.sees(text); }, text.c_str());
    }
    void three_conversations() {
        chat.ready();
        for (const char* word : {"one", "two", "three"}) {
            if (!chat.conversation().empty()) chat.enter("/new");
            chat.converse(std::string("about ") + word, {word});
        }
        until_answered();
    }

    KeptFolder folder;
    KeptChat chat{folder.path()};
    std::map<std::string, chat::KvEntry> entries = {
        {"one", {.tokens = 400, .resident = 399}},
        {"two", {.tokens = 900, .on_disk = 899, .disk_bytes = 310'000'000, .restore_seconds = 0.8}},
        {"three", {.tokens = 4100, .reread_seconds = 41}}};
};

TEST_F(StatesOfLines, EveryConversationOfTheListHasOne) {
    three_conversations();
    chat.type("\x18s");
    until_shown("● resident · grok");
    until_shown("◐ on disk 310 MB ~0.8 s · grok");
    until_shown("○ re-read 4,100 tokens ~41 s");
}

TEST_F(StatesOfLines, WhatIsKnownIsAskedAgainOnlyWhenItMayHaveChanged) {
    three_conversations();
    chat.type("\x18s");
    until_shown("◐ on disk 310 MB");
    until_answered();
    chat.type("j");
    chat.type("k");
    EXPECT_EQ(answer(), 0U);
    chat.type("q");
    entries["two"] = {.tokens = 900, .resident = 899};
    chat.enter("/kv save");
    until_answered();
    chat.type("\x18s");
    chat.until([&] { return answer(), !chat.sees("◐ on disk"); }, "newer state");
}

TEST_F(StatesOfLines, EveryBranchOfTheTreeHasOne) {
    chat.ready();
    chat.converse("q", {"one"});
    for (const char* word : {"two", "three"}) {
        chat.type("\x18r");
        chat.until([&] { return chat.session().activity() == Activity::prefill; }, "prefill");
        chat.say({word});
        chat.finish();
        chat.until_idle();
    }
    until_answered();
    chat.type("\x18t");
    until_shown("● resident");
    until_shown("◐ on disk 310 MB ~0.8 s");
    until_shown("○ re-read 4,100 tokens ~41 s");
}

TEST_F(StatesOfLines, AFewAreAskedForAtATimeAndNoneWithoutAModel) {
    chat.ready();
    for (int i = 0; i < 9; ++i) {
        if (i > 0) chat.enter("/new");
        chat.converse("about " + std::to_string(i), {"one"});
    }
    until_answered();
    chat.type("\x18s");
    chat.until([&] { return chat.sees("about 8"); }, "list");
    size_t most = 0;
    size_t all = 0;
    chat.until(
        [&] {
            const size_t asked = answer();
            most = std::max(most, asked);
            all += asked;
            return all >= 9;
        },
        "questions");
    EXPECT_LE(most, 4U);
    chat.type("q");
    chat.enter("/unload");
    until_answered();
    chat.type("\x18s");
    EXPECT_EQ(answer(), 0U);
}

TEST_F(StatesOfLines, AModelThatCannotReadALineLeavesItWithoutOne) {
    three_conversations();
    chat.type("\x18s");
    chat.until(
        [&] {
            for (const chat::Kv& question : chat.take_kv())
                chat.emit(chat::Failed{.id = question.id, .sentence = "No."});
            return chat.session().line_states().changes() >= 4;
        },
        "refusals");
    EXPECT_FALSE(chat.sees("No."));
    EXPECT_TRUE(chat.sees("grok · 2 turns")) << chat.screen();
}

}  // namespace
}  // namespace app
