#include "core/engine/mock.h"

#include <poll.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/engine/mock_script.h"

namespace core {
namespace {

// A script in a temporary file, a mock that plays it, and a client of it.
class MockTest : public testing::Test {
  protected:
    void play(const std::string& script, bool fake_time = true) {
        write(script);
        mock_ = std::make_unique<MockEngine>(path_, fake_time);
        mock_->attach(channel_);
        const auto id = channel_.next_id();
        channel_.submit(chat::LoadModel{.id = id});
        load_events_ = events_of(id);
    }

    void write(const std::string& script) {
        path_ = testing::TempDir() + "mock_" + std::to_string(::getpid()) + ".toml";
        std::ofstream(path_) << script;
    }

    void TearDown() override {
        if (mock_) mock_->detach(channel_);
        if (!path_.empty()) std::filesystem::remove(path_);
    }

    chat::Event next_event() {
        while (true) {
            if (auto event = channel_.poll_event()) return std::move(*event);
            pollfd entry{.fd = channel_.event_fd(), .events = POLLIN, .revents = 0};
            if (::poll(&entry, 1, 10'000) != 1) throw std::runtime_error("the mock is silent");
            channel_.acknowledge_events();
        }
    }

    std::vector<chat::Event> events_of(chat::RequestId id) {
        std::vector<chat::Event> events;
        do
            events.push_back(next_event());
        while (chat::request_of(events.back()) != id || !chat::is_terminal(events.back()));
        return events;
    }

    chat::Generate ask(const std::string& text) {
        return {.id = channel_.next_id(),
                .prompt = std::vector<chat::Message>{{.role = chat::Role::user, .text = text}}};
    }

    std::vector<chat::Event> answer(const chat::Generate& request) {
        channel_.submit(request);
        return events_of(request.id);
    }

    static std::string text_of(const std::vector<chat::Event>& events, uint32_t choice = 0) {
        std::string text;
        for (const auto& event : events)
            if (const auto* delta = std::get_if<chat::Delta>(&event);
                delta && delta->choice == choice)
                text += delta->text;
        return text;
    }

    chat::Channel channel_;
    std::unique_ptr<MockEngine> mock_;
    std::string path_;
    std::vector<chat::Event> load_events_;
};

TEST_F(MockTest, LoadTellsItsProgressAndThenTheModel) {
    play("[model]\nname = \"m\"\nweight_bytes = 100\nload_steps = 4\nload_ms = 2000\n");
    ASSERT_EQ(load_events_.size(), 5U);
    EXPECT_EQ(std::get<chat::Progress>(load_events_[0]).done, 25U);
    EXPECT_EQ(std::get<chat::Progress>(load_events_[3]).done, 100U);
    const auto& ready = std::get<chat::ModelReady>(load_events_[4]);
    EXPECT_EQ(ready.name, "m");
    EXPECT_DOUBLE_EQ(ready.seconds, 2.0);
}

TEST_F(MockTest, AnAnswerIsPrefillThenTokensThenFinished) {
    play("[[reply]]\nprompt_tokens = 100\nreused_tokens = 30\ntext = \"Hello there\"\n");
    const auto events = answer(ask("hi"));
    ASSERT_EQ(events.size(), 5U);
    EXPECT_EQ(std::get<chat::Progress>(events[0]).done, 94U);
    EXPECT_EQ(std::get<chat::Progress>(events[1]).done, 100U);
    EXPECT_EQ(std::get<chat::Delta>(events[3]).text, " there");
    const auto& finished = std::get<chat::Finished>(events[4]);
    EXPECT_EQ(finished.reason, chat::FinishReason::stop);
    EXPECT_EQ(finished.usage.recomputed, 70U);
    EXPECT_EQ(finished.usage.generated, 2U);
}

TEST_F(MockTest, RepliesAreChosenByTheirMatchAndUsedAsOftenAsTheySay) {
    play(
        "[[reply]]\nmatch = \"cat\"\ntext = \"meow\"\n"
        "[[reply]]\ntimes = 1\ntext = \"first\"\n[[reply]]\ntext = \"later {prompt}\"\n");
    EXPECT_EQ(text_of(answer(ask("a cat?"))), "meow");
    EXPECT_EQ(text_of(answer(ask("x"))), "first");
    EXPECT_EQ(text_of(answer(ask("y"))), "later y");
}

TEST_F(MockTest, FakeTimeCountsDelaysAndSleepsNone) {
    play("[[reply]]\ndelay_ms = 3600000\ntext = \"one two three\"\n");
    const auto events = answer(ask("x"));
    const auto& usage = std::get<chat::Finished>(events.back()).usage;
    EXPECT_DOUBLE_EQ(usage.decode_seconds, 2 * 3600.0);
    EXPECT_DOUBLE_EQ(usage.first_token_seconds, 3600.0);
}

TEST_F(MockTest, RealTimeSleepsTheDelays) {
    play("[[reply]]\ndelay_ms = 10\ntext = \"one two three\"\n", false);
    const auto start = std::chrono::steady_clock::now();
    answer(ask("x"));
    // The mock counts whole milliseconds, from within the first.
    EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(29));
}

TEST_F(MockTest, CancelKeepsWhatWasSaid) {
    play("[[reply]]\ntokens = [\"one\", \" two\", {text = \" three\", hold = \"cancel\"}]\n");
    const auto request = ask("x");
    channel_.submit(request);
    while (true) {
        const auto event = next_event();
        if (const auto* delta = std::get_if<chat::Delta>(&event); delta && delta->text == " two")
            break;
    }
    request.cancel->store(true);
    const auto rest = events_of(request.id);
    ASSERT_EQ(rest.size(), 1U);
    const auto& finished = std::get<chat::Finished>(rest[0]);
    EXPECT_EQ(finished.reason, chat::FinishReason::cancelled);
    EXPECT_EQ(finished.usage.generated, 2U);
}

TEST_F(MockTest, CancelEndsALoadThatHangs) {
    write("[model]\nhold_load = true\n");
    mock_ = std::make_unique<MockEngine>(path_, true);
    mock_->attach(channel_);
    const chat::LoadModel load{.id = channel_.next_id()};
    channel_.submit(load);
    EXPECT_TRUE(std::holds_alternative<chat::Progress>(next_event()));
    load.cancel->store(true);
    EXPECT_TRUE(std::holds_alternative<chat::Failed>(next_event()));
}

TEST_F(MockTest, ALoadWaitsForItsFile) {
    const std::string file = path_ + ".go";
    write("[model]\nload_steps = 2\nload_waits_for = \"" + file + "\"\n");
    mock_ = std::make_unique<MockEngine>(path_, true);
    mock_->attach(channel_);
    channel_.submit(chat::LoadModel{.id = channel_.next_id()});
    EXPECT_TRUE(std::holds_alternative<chat::Progress>(next_event()));
    EXPECT_FALSE(channel_.poll_event());
    std::ofstream(file).put('\n');
    EXPECT_TRUE(std::holds_alternative<chat::Progress>(next_event()));
    EXPECT_TRUE(std::holds_alternative<chat::ModelReady>(next_event()));
    std::filesystem::remove(file);
}

TEST_F(MockTest, AWordKeepsTheNumberThatItGotFirst) {
    play("[[reply]]\ntext = \"x\"\n");
    const auto spell = [&](auto what) {
        const chat::Spell question{.id = channel_.next_id(), .what = std::move(what)};
        channel_.submit(question);
        return std::get<chat::Spelled>(events_of(question.id).back()).pieces;
    };
    EXPECT_EQ(spell(std::string("a b a")).at(1).id, 1);
    const auto again = spell(std::string("c b"));
    ASSERT_EQ(again.size(), 2U);
    EXPECT_EQ(again[1].id, 1) << "\" b\" had it before";
    EXPECT_EQ(spell(std::vector<TokenId>{1}).at(0).text, " b");
}

TEST_F(MockTest, NewParametersAreInForceFromTheNextToken) {
    play(
        "[[reply]]\ntokens = [\"{temperature}\", {text = \" {temperature}\", hold = "
        "\"update\"}]\n");
    auto request = ask("x");
    request.sampling.temperature = 0.5F;
    channel_.submit(request);
    while (!std::holds_alternative<chat::Delta>(next_event())) {
    }
    const chat::UpdateSampling update{
        .id = channel_.next_id(), .target = request.id, .sampling = {.temperature = 1.5F}};
    channel_.submit(update);
    const auto events = events_of(request.id);
    EXPECT_EQ(text_of(events), " 1.5");
    const auto& token = std::get<chat::Delta>(events[1]).tokens.at(0);
    EXPECT_FLOAT_EQ(token.temperature, 1.5F);
}

TEST_F(MockTest, MaxTokensAndTheContextEndAnEndlessReply) {
    play("[model]\ncontext = 20\n[[reply]]\nprompt_tokens = 10\ntext = \"on \"\nendless = true\n");
    auto request = ask("x");
    request.max_tokens = 7;
    auto events = answer(request);
    EXPECT_EQ(std::get<chat::Finished>(events.back()).reason, chat::FinishReason::length);
    EXPECT_EQ(std::get<chat::Finished>(events.back()).usage.generated, 7U);
    events = answer(ask("x"));
    EXPECT_EQ(std::get<chat::Finished>(events.back()).reason, chat::FinishReason::context_full);
    EXPECT_EQ(std::get<chat::Finished>(events.back()).usage.generated, 10U);
}

TEST_F(MockTest, EveryChoiceGetsTheTokensAndTheLastOneEndsTheRequest) {
    play("[[reply]]\ntext = \"a b\"\n");
    auto request = ask("x");
    request.choices = 3;
    const auto events = answer(request);
    for (uint32_t choice = 0; choice < 3; ++choice)
        EXPECT_EQ(text_of(events, choice), "a b");
    EXPECT_EQ(std::get<chat::Finished>(events.back()).choice, 2U);
}

TEST_F(MockTest, AScriptedErrorComesAfterItsTokens) {
    play(
        "[[reply]]\ntext = \"a b c\"\nerror = {after = 2, sentence = \"Out of memory.\", "
        "exit_code = 6}\n");
    const auto events = answer(ask("x"));
    EXPECT_EQ(text_of(events), "a b");
    EXPECT_EQ(std::get<chat::Failed>(events.back()).sentence, "Out of memory.");
    EXPECT_EQ(std::get<chat::Failed>(events.back()).exit_code, 6);
}

TEST_F(MockTest, ProbabilitiesAlternativesAndExpertsAreTold) {
    play(
        "[[reply]]\ntokens = [{text = \"a\", id = 5, p = 0.5, raw = 0.25, rank = 2, entropy = 1.5,"
        " alternatives = [{id = 6, text = \"b\", p = 0.125, removed_by = \"top_p\"}],"
        " experts = [{layer = 1, expert = 3, weight = 0.75}]}]\n");
    const auto request = ask("x");
    const auto events = answer(request);
    const auto& token = std::get<chat::Delta>(events[1]).tokens.at(0);
    EXPECT_EQ(token.id, 5);
    EXPECT_EQ(token.rank, 2U);
    EXPECT_FLOAT_EQ(token.raw_probability, 0.25F);
    EXPECT_EQ(token.alternatives.at(0).removed_by, chat::Stage::top_p);
    EXPECT_EQ(token.experts.at(0).expert, 3);

    channel_.submit(chat::Preview{.id = channel_.next_id(), .target = request.id});
    const auto previewed = next_event();
    EXPECT_EQ(std::get<chat::Previewed>(previewed).alternatives.at(0).bytes, "b");
}

TEST_F(MockTest, AskingBeforeLoadingFails) {
    write("[[reply]]\ntext = \"a\"\n");
    mock_ = std::make_unique<MockEngine>(path_, true);
    mock_->attach(channel_);
    EXPECT_TRUE(std::holds_alternative<chat::Failed>(answer(ask("x")).back()));
}

TEST_F(MockTest, DetachInTheMiddleOfAnEndlessReplyReturns) {
    play("[[reply]]\ntext = \"on \"\nendless = true\n");
    channel_.submit(ask("x"));
    next_event();
    mock_->detach(channel_);
    mock_.reset();
}

TEST_F(MockTest, AMisspeltKeyIsAnErrorWithItsLine) {
    write("[[reply]]\ntext = \"a\"\ndelai_ms = 3\n");
    try {
        read_mock_script(path_);
        FAIL() << "accepted";
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::config);
        EXPECT_NE(std::string(error.what()).find(":3: unknown key \"delai_ms\""), std::string::npos)
            << error.what();
    }
}

TEST_F(MockTest, ValuesOutOfRangeAndBrokenTomlAreErrorsWithTheirLine) {
    for (const std::string script :
         {"\n[[reply]]\nprompt_tokens = -1\n", "\n\ntext = [unclosed\n",
          "\n[[reply]]\nfinish = \"never\"\n", "\n[[reply]]\ntokens = [\n3]\n"}) {
        write(script);
        try {
            read_mock_script(path_);
            ADD_FAILURE() << "accepted " << script;
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::config) << error.what();
            EXPECT_NE(std::string(error.what()).find(path_ + ":"), std::string::npos);
        }
    }
}

TEST_F(MockTest, LinesOfTheCacheAreAsTheScriptSays) {
    play(R"(
[kv]
lines = [{ tokens = 100, resident = 64, on_disk = 36, disk_bytes = 5000, restore_ms = 200 }]
disk_budget = 1000000
)");
    chat::Kv request{.id = channel_.next_id()};
    request.lines = {{{.text = "one"}}, {{.text = "two words"}}};
    channel_.submit(request);
    const auto listed = std::get<chat::KvListed>(events_of(request.id).back());
    ASSERT_EQ(listed.entries.size(), 2U);
    EXPECT_EQ(listed.entries[0].on_disk, 36U);
    EXPECT_EQ(listed.entries[0].restore_seconds, 0.2);
    EXPECT_EQ(listed.entries[1].tokens, 2U);
    EXPECT_EQ(listed.entries[1].resident, 2U);
    EXPECT_EQ(listed.disk_budget, 1000000U);
    for (const auto action : {chat::KvAction::save, chat::KvAction::drop}) {
        const chat::Kv other{.id = channel_.next_id(), .action = action};
        channel_.submit(other);
        EXPECT_TRUE(std::holds_alternative<chat::Done>(events_of(other.id).back()));
    }
}

TEST_F(MockTest, RestoringIsToldBeforeReading) {
    play(R"(
[kv]
prefetch_tokens = 3120
prefetch_ms = 200
[[reply]]
prompt_tokens = 100
reused_tokens = 90
restored_tokens = 80
restore_ms = 40
text = "answer"
)");
    const chat::Kv prefetch{.id = channel_.next_id(), .action = chat::KvAction::prefetch};
    channel_.submit(prefetch);
    auto events = events_of(prefetch.id);
    ASSERT_EQ(events.size(), 6U);
    EXPECT_EQ(std::get<chat::Progress>(events[4]).phase, chat::Phase::restoring);
    EXPECT_EQ(std::get<chat::Progress>(events[4]).done, 3120U);
    EXPECT_TRUE(std::holds_alternative<chat::Done>(events[5]));

    events = answer(ask("hello"));
    EXPECT_EQ(std::get<chat::Progress>(events[0]).phase, chat::Phase::restoring);
    EXPECT_EQ(std::get<chat::Progress>(events[4]).done, 80U);
    EXPECT_EQ(std::get<chat::Progress>(events[5]).phase, chat::Phase::prefill);
    const chat::Usage usage = std::get<chat::Finished>(events.back()).usage;
    EXPECT_EQ(usage.restored, 80U);
    EXPECT_EQ(usage.restore_seconds, 0.04);
    EXPECT_EQ(usage.recomputed, 10U);
}

}  // namespace
}  // namespace core
