// The scheduler and its sessions over a model that recites the alphabet: after `a` comes `b`, after
// `z` the end. What it is asked to run is recorded, so that the tests see passes and not only text.
#include "core/engine/scheduler.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/error.h"

namespace core {
namespace {

constexpr uint32_t kVocab = 128;
constexpr TokenId kEnd = 0;

// A token is a byte of ASCII; 0 ends.
class AsciiTokenizer : public Tokenizer {
  public:
    uint32_t size() const override { return kVocab; }
    std::vector<TokenId> encode(std::span<const TextSpan> spans) const override {
        std::vector<TokenId> ids;
        for (const TextSpan& span : spans) {
            ids.insert(ids.end(), span.tokens.begin(), span.tokens.end());
            ids.insert(ids.end(), span.text.begin(), span.text.end());
        }
        return ids;
    }
    std::string_view bytes(TokenId id) const override {
        return std::string_view(kBytes).substr(static_cast<size_t>(id), id == kEnd ? 0 : 1);
    }
    PieceKind kind(TokenId id) const override {
        return id == kEnd ? PieceKind::control : PieceKind::normal;
    }
    std::string_view piece(TokenId id) const override { return bytes(id); }
    std::optional<TokenId> find_piece(std::string_view /*piece*/) const override { return {}; }
    std::optional<TokenId> bos() const override { return {}; }
    std::optional<TokenId> eos() const override { return kEnd; }
    bool add_bos() const override { return false; }
    bool dummy_prefix() const override { return false; }
    std::vector<TokenId> never_sampled(uint32_t /*vocab*/) const override { return {}; }
    std::vector<TokenId> end_of_generation() const override { return {kEnd}; }

  private:
    static inline const std::string kBytes = [] {
        std::string bytes(kVocab, '\0');
        for (size_t i = 0; i < kVocab; ++i)
            bytes[i] = static_cast<char>(i);
        return bytes;
    }();
};

constexpr KvLayerShape kShape[] = {{.kv_heads = 1, .head_dim = 32}};

class SchedulerTest : public testing::Test {
  protected:
    explicit SchedulerTest(uint32_t context = 1000, uint64_t pages = 1000) {
        const PageLayout layout(kShape, KvType::f16);
        const uint64_t budget = pages * layout.page_bytes();
        model = std::make_unique<ServedModel>(
            ServedModel{.model = nullptr,
                        .tokenizer = std::make_unique<AsciiTokenizer>(),
                        .format = ChatFormat::named("grok-1"),
                        .pages = std::make_unique<PagePool>(layout, budget),
                        .forward = [this](auto batch, auto& logits) { return run(batch, logits); },
                        .vocab = kVocab,
                        .context = context,
                        .kv_budget = budget});
        scheduler = std::make_unique<Scheduler>(
            *model, 64, [this] { return Scheduler::Clock::time_point(time); });
    }

    // One pass: every sequence's next letter has all the probability that a letter can have.
    std::vector<bool> run(std::span<const Slice> batch, std::vector<float>& logits) {
        for (const Slice& slice : batch)
            slice.sequence->reserve(static_cast<uint32_t>(slice.tokens.size()));
        passes.emplace_back();
        logits.clear();
        time += pass_time(batch);
        std::vector<bool> committed;
        for (const Slice& slice : batch) {
            passes.back().push_back(slice.tokens.size());
            committed.push_back(!slice.cancel->load());
            if (committed.back()) slice.sequence->commit(slice.tokens);
            if (slice.logits == LogitRows::none) continue;
            const TokenId last = slice.tokens.back();
            logits.resize(logits.size() + kVocab, 0.0F);
            const TokenId next = last >= 'a' && last < 'z' ? last + 1 : kEnd;
            *(logits.end() - kVocab + next) = last == '!' ? kNan : 20.0F;
        }
        return committed;
    }

    chat::Generate ask(std::string text) {
        return {.id = channel.next_id(),
                .prompt = std::move(text),
                .sampling = {.temperature = 0},
                .detail = chat::Detail::text};
    }

    void run_to_end() {
        while (!scheduler->idle())
            scheduler->step();
        drain();
    }

    void drain() {
        while (auto event = channel.poll_event())
            events.push_back(std::move(*event));
    }

    std::string text_of(chat::RequestId id, uint32_t choice = 0) const {
        std::string text;
        for (const auto& event : events)
            if (const auto* delta = std::get_if<chat::Delta>(&event);
                delta != nullptr && delta->id == id && delta->choice == choice)
                text += delta->text;
        return text;
    }

    // The terminal event of a request; there must be exactly one and nothing after it.
    template <class Ending>
    Ending ending_of(chat::RequestId id) const {
        const chat::Event* ending = nullptr;
        for (const auto& event : events) {
            if (chat::request_of(event) != id) continue;
            EXPECT_EQ(ending, nullptr) << "an event after the terminal one";
            if (chat::is_terminal(event)) ending = &event;
        }
        if (ending == nullptr || !std::holds_alternative<Ending>(*ending)) {
            ADD_FAILURE() << "request " << id << " ended otherwise";
            return {};
        }
        return std::get<Ending>(*ending);
    }

    chat::Finished answer(const chat::Generate& request) {
        scheduler->generate(channel, request);
        run_to_end();
        return ending_of<chat::Finished>(request.id);
    }

    size_t tokens_run() const {
        size_t tokens = 0;
        for (const auto& pass : passes)
            for (const size_t slice : pass)
                tokens += slice;
        return tokens;
    }

    // The clock stands still but for the passes.
    static constexpr std::chrono::milliseconds kPass{10};
    std::chrono::milliseconds time{0};
    std::function<std::chrono::milliseconds(std::span<const Slice>)> pass_time =
        [](std::span<const Slice>) { return kPass; };

    static constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

    chat::Channel channel;
    std::unique_ptr<ServedModel> model;
    std::unique_ptr<Scheduler> scheduler;
    std::vector<std::vector<size_t>> passes;  // slice lengths
    std::vector<chat::Event> events;
};

TEST_F(SchedulerTest, AnAnswerIsToldTokenByTokenUntilTheModelEndsIt) {
    const auto request = ask("stuvw");
    const auto finished = answer(request);
    EXPECT_EQ(text_of(request.id), "xyz");
    EXPECT_EQ(finished.reason, chat::FinishReason::stop);
    EXPECT_EQ(finished.usage.prompt, 5U);
    EXPECT_EQ(finished.usage.recomputed, 5U);
    EXPECT_EQ(finished.usage.generated, 4U);  // the end is a token too
    EXPECT_EQ(passes.size(), 4U);
}

TEST_F(SchedulerTest, AStopStringEndsTheAnswerAndIsNotShown) {
    auto request = ask("a");
    request.stop = {"fgh"};
    EXPECT_EQ(answer(request).reason, chat::FinishReason::stop);
    EXPECT_EQ(text_of(request.id), "bcde");
}

TEST_F(SchedulerTest, TextHeldBackForAStopStringIsGivenOutAtTheEnd) {
    auto request = ask("v");
    request.stop = {"z!"};
    answer(request);
    EXPECT_EQ(text_of(request.id), "wxyz");
}

TEST_F(SchedulerTest, MaxTokensEndTheAnswer) {
    auto request = ask("a");
    request.max_tokens = 3;
    EXPECT_EQ(answer(request).reason, chat::FinishReason::length);
    EXPECT_EQ(text_of(request.id), "bcd");
}

TEST_F(SchedulerTest, ANextTurnReadsOnlyWhatIsNew) {
    const auto first = ask("stuvw");
    answer(first);
    passes.clear();
    const auto second = ask("stuvwxyz and a");
    const auto finished = answer(second);
    EXPECT_EQ(finished.usage.reused, 8U);
    EXPECT_EQ(finished.usage.recomputed, 6U);
    EXPECT_EQ(passes[0], (std::vector<size_t>{6}));
    EXPECT_EQ(text_of(second.id), "bcdefghijklmnopqrstuvwxyz");
}

TEST_F(SchedulerTest, AskingTheSameAgainReadsOneToken) {
    answer(ask("a long prompt, a"));
    const auto finished = answer(ask("a long prompt, a"));
    EXPECT_EQ(finished.usage.recomputed, 1U);
}

TEST_F(SchedulerTest, OtherScopesReadForThemselves) {
    auto request = ask("a long prompt, a");
    request.scope = "alice";
    answer(request);
    EXPECT_EQ(answer(ask("a long prompt, a")).usage.reused, 0U);
}

TEST_F(SchedulerTest, PromptsAreReadInChunksWithProgress) {
    const auto request = ask(std::string(150, '.') + "y");
    answer(request);
    EXPECT_EQ(passes[0], (std::vector<size_t>{64}));
    EXPECT_EQ(passes[1], (std::vector<size_t>{64}));
    EXPECT_EQ(passes[2], (std::vector<size_t>{23}));
    std::vector<uint64_t> done;
    for (const auto& event : events)
        if (const auto* progress = std::get_if<chat::Progress>(&event)) {
            done.push_back(progress->done);
            EXPECT_EQ(progress->total, 151U);
        }
    EXPECT_EQ(done, (std::vector<uint64_t>{0, 64, 128, 151}));
}

TEST_F(SchedulerTest, AnswersOfSeveralRequestsShareTheirPasses) {
    const auto one = ask("v");
    const auto two = ask("tuv");
    scheduler->generate(channel, one);
    scheduler->generate(channel, two);
    run_to_end();
    EXPECT_EQ(text_of(one.id), "wxyz");
    EXPECT_EQ(text_of(two.id), "wxyz");
    EXPECT_EQ(passes.size(), 5U);
    EXPECT_EQ(passes[0], (std::vector<size_t>{1, 3}));
    EXPECT_EQ(passes[1], (std::vector<size_t>{1, 1}));
}

TEST_F(SchedulerTest, ALongPromptIsReadInShortChunksBesideARunningAnswer) {
    const auto running = ask("a");
    scheduler->generate(channel, running);
    scheduler->step();
    const auto late = ask(std::string(40, '.') + "y");
    scheduler->generate(channel, late);
    run_to_end();
    EXPECT_EQ(passes[1], (std::vector<size_t>{1})) << "how long a step takes alone";
    EXPECT_EQ(passes[2], (std::vector<size_t>{1, 16}));
    EXPECT_EQ(passes[3], (std::vector<size_t>{1, 25})) << "the first chunk did no harm";
    EXPECT_EQ(text_of(running.id), "bcdefghijklmnopqrstuvwxyz");
    EXPECT_EQ(text_of(late.id), "z");
}

TEST_F(SchedulerTest, AfterALongPassTheAnswersHavePassesOfTheirOwn) {
    pass_time = [](std::span<const Slice> batch) { return batch.size() == 1 ? kPass : 5 * kPass; };
    const auto running = ask("a");
    scheduler->generate(channel, running);
    scheduler->step();
    scheduler->generate(channel, ask(std::string(60, '.') + "y"));
    run_to_end();
    EXPECT_EQ(passes[2], (std::vector<size_t>{1, 16}));
    for (const size_t own : {3, 4, 5})
        EXPECT_EQ(passes[own], (std::vector<size_t>{1}));
    EXPECT_EQ(passes[6].size(), 2U);
    EXPECT_EQ(text_of(running.id), "bcdefghijklmnopqrstuvwxyz");
}

TEST_F(SchedulerTest, AShortPromptDoesNotWaitForALongOne) {
    const auto document = ask(std::string(500, '.') + "y");
    const auto question = ask(std::string(9, '.') + "y");
    scheduler->generate(channel, document);
    scheduler->generate(channel, question);
    scheduler->step();
    EXPECT_EQ(passes[0], (std::vector<size_t>{54, 10}));
    drain();
    EXPECT_EQ(text_of(question.id), "z");
    run_to_end();
    EXPECT_EQ(text_of(document.id), "z");
}

TEST_F(SchedulerTest, SeveralChoicesReadThePromptOnce) {
    auto request = ask("uvwx");
    request.choices = 3;
    scheduler->generate(channel, request);
    run_to_end();
    for (uint32_t choice = 0; choice < 3; ++choice)
        EXPECT_EQ(text_of(request.id, choice), "yz");
    EXPECT_EQ(passes[0], (std::vector<size_t>{4}));
    EXPECT_EQ(passes[1], (std::vector<size_t>{1, 1, 1}));
    const auto finished = std::ranges::count_if(
        events, [](const auto& event) { return std::holds_alternative<chat::Finished>(event); });
    EXPECT_EQ(finished, 3);
    EXPECT_EQ(ending_of<chat::Finished>(request.id).choice, 2U);
}

TEST_F(SchedulerTest, CancelWhileAnsweringKeepsWhatWasSaid) {
    const auto request = ask("a");
    scheduler->generate(channel, request);
    for (int i = 0; i < 3; ++i)
        scheduler->step();
    request.cancel->store(true);
    run_to_end();
    EXPECT_EQ(text_of(request.id), "bcd");
    const auto finished = ending_of<chat::Finished>(request.id);
    EXPECT_EQ(finished.reason, chat::FinishReason::cancelled);
    EXPECT_EQ(finished.usage.generated, 3U);
}

TEST_F(SchedulerTest, CancelWhileReadingLeavesTheCacheValid) {
    const std::string prompt = std::string(200, '.') + "w";
    const auto request = ask(prompt);
    scheduler->generate(channel, request);
    scheduler->step();
    scheduler->step();
    request.cancel->store(true);
    run_to_end();
    EXPECT_EQ(ending_of<chat::Finished>(request.id).reason, chat::FinishReason::cancelled);
    const auto again = ask(prompt);
    EXPECT_EQ(answer(again).usage.reused, 128U);
    EXPECT_EQ(text_of(again.id), "xyz");
}

// The flag goes up between the start of a pass and its end, as it does in life.
TEST_F(SchedulerTest, ASliceThatWasSkippedIsNotAnsweredAndTheOthersGoOn) {
    const auto stopped = ask("a");
    const auto running = ask("w");
    scheduler->generate(channel, stopped);
    scheduler->generate(channel, running);
    scheduler->step();
    const auto forward = model->forward;
    model->forward = [&](auto batch, auto& logits) {
        stopped.cancel->store(true);
        return forward(batch, logits);
    };
    run_to_end();
    EXPECT_EQ(text_of(stopped.id), "b");
    EXPECT_EQ(ending_of<chat::Finished>(stopped.id).reason, chat::FinishReason::cancelled);
    EXPECT_EQ(text_of(running.id), "xyz");
}

std::vector<float> temperatures(const std::vector<chat::Event>& events) {
    std::vector<float> result;
    for (const auto& event : events)
        if (const auto* delta = std::get_if<chat::Delta>(&event))
            for (const auto& token : delta->tokens)
                result.push_back(token.temperature);
    return result;
}

TEST_F(SchedulerTest, NewParametersAreInForceFromTheNextToken) {
    auto request = ask("t");
    request.sampling.temperature = 0.25F;
    scheduler->generate(channel, request);
    scheduler->step();
    scheduler->step();
    scheduler->update_sampling(channel, {.target = request.id, .sampling = {.temperature = 0.5F}});
    run_to_end();
    EXPECT_EQ(temperatures(events),
              (std::vector<float>{0.25F, 0.25F, 0.5F, 0.5F, 0.5F, 0.5F, 0.5F}));
}

TEST_F(SchedulerTest, AReplayFollowsItsTimeline) {
    auto request = ask("v");
    request.sampling.temperature = 0.25F;
    request.timeline = {{.at_token = 3, .sampling = {.temperature = 0.75F}},
                        {.at_token = 1, .sampling = {.temperature = 0.5F}}};
    answer(request);
    EXPECT_EQ(temperatures(events), (std::vector<float>{0.25F, 0.5F, 0.5F, 0.75F, 0.75F}));
}

TEST_F(SchedulerTest, AForcedPrefixIsToldAndContinuedButNotCounted) {
    auto request = ask("a");
    request.forced_prefix = {'q', 'r'};
    request.max_tokens = 2;
    const auto finished = answer(request);
    EXPECT_EQ(text_of(request.id), "qrst");
    EXPECT_EQ(finished.usage.generated, 2U);
    EXPECT_EQ(finished.usage.prompt, 3U);
    size_t tokens = 0;
    for (const auto& event : events)
        if (const auto* delta = std::get_if<chat::Delta>(&event)) tokens += delta->tokens.size();
    EXPECT_EQ(tokens, 4U);
}

TEST_F(SchedulerTest, AForcedTextFollowsTheForcedIdsAsTokensOfTheAnswer) {
    auto request = ask("a");
    request.forced_prefix = {'q'};
    request.forced_text = "r";
    request.max_tokens = 2;
    const auto finished = answer(request);
    EXPECT_EQ(text_of(request.id), "qrst");
    EXPECT_EQ(finished.usage.generated, 2U);
    EXPECT_EQ(finished.usage.prompt, 3U);
}

TEST_F(SchedulerTest, PrefillFillsTheCacheAndSaysNothing) {
    const std::vector<chat::Message> messages{{.text = "hello"}};
    const chat::Prefill request{.id = channel.next_id(), .messages = messages};
    scheduler->prefill(channel, request);
    run_to_end();
    ending_of<chat::Done>(request.id);
    chat::Generate next{
        .id = channel.next_id(), .prompt = messages, .sampling = {.temperature = 0}};
    EXPECT_EQ(answer(next).usage.recomputed, 1U);
}

TEST_F(SchedulerTest, ACancelledPrefillLeavesNoTrace) {
    const std::vector<chat::Message> messages{{.text = std::string(100, 'x')}};
    const chat::Prefill request{.id = channel.next_id(), .messages = messages};
    scheduler->prefill(channel, request);
    scheduler->step();
    request.cancel->store(true);
    run_to_end();
    ending_of<chat::Done>(request.id);
    EXPECT_EQ(model->pages->pages_in_use(), 0U);
}

TEST_F(SchedulerTest, APreviewShowsWhatTheLastTokenWasChosenFrom) {
    const auto request = ask("v");
    scheduler->generate(channel, request);
    scheduler->step();
    const auto running = scheduler->preview(channel, {.target = request.id});
    EXPECT_EQ(running.at(0).bytes, "w");
    run_to_end();
    const auto ended = scheduler->preview(channel, {.target = request.id});
    EXPECT_EQ(ended.at(0).id, kEnd);
    EXPECT_THROW(scheduler->preview(channel, {.target = 999}), Error);
}

TEST_F(SchedulerTest, PromptsThatMakeNoSenseAreRefused) {
    const auto kind_of = [&](chat::Generate request) {
        try {
            scheduler->generate(channel, std::move(request));
        } catch (const Error& error) {
            return error.kind();
        }
        return ErrorKind::internal;
    };
    EXPECT_EQ(kind_of(ask("")), ErrorKind::usage);
    EXPECT_EQ(kind_of(ask(std::string(1000, 'x'))), ErrorKind::context);
    auto foreign = ask("");
    foreign.prompt = std::vector<TokenId>{1, static_cast<TokenId>(kVocab)};
    EXPECT_EQ(kind_of(foreign), ErrorKind::usage);
    auto none = ask("a");
    none.choices = 0;
    EXPECT_EQ(kind_of(none), ErrorKind::usage);
    EXPECT_TRUE(scheduler->idle());
}

TEST_F(SchedulerTest, LogitsThatAreNoNumbersFailTheirRequestOnly) {
    const auto broken = ask("a!");
    const auto sound = ask("w");
    scheduler->generate(channel, broken);
    scheduler->generate(channel, sound);
    run_to_end();
    EXPECT_EQ(ending_of<chat::Failed>(broken.id).exit_code, static_cast<int>(ErrorKind::internal));
    ending_of<chat::Finished>(sound.id);
    EXPECT_EQ(text_of(sound.id), "xyz");
}

TEST_F(SchedulerTest, AClientThatReadsNothingLosesItsAnswerAndNobodyElseDoes) {
    const auto forward = model->forward;
    // An endless answer, with events as large as they get.
    model->forward = [&](auto batch, auto& logits) {
        const auto committed = forward(batch, logits);
        for (auto& logit : logits)
            logit = logit == 20.0F ? 0.0F : logit;
        for (size_t row = 0; row < logits.size() / kVocab; ++row)
            logits[row * kVocab + 'a'] = 20.0F;
        return committed;
    };
    model->context = 1'000'000;
    auto endless = ask("a");
    endless.detail = chat::Detail::full;
    endless.sampling = {.temperature = 0, .top_k = 0, .top_p = 1, .min_p = 0};
    scheduler->generate(channel, endless);
    run_to_end();
    EXPECT_EQ(ending_of<chat::Failed>(endless.id).exit_code, static_cast<int>(ErrorKind::backend));
}

class SmallContext : public SchedulerTest {
  protected:
    SmallContext() : SchedulerTest(20) {}
};

TEST_F(SmallContext, AFullContextEndsTheAnswer) {
    const auto request = ask("..............a");
    const auto finished = answer(request);
    EXPECT_EQ(finished.reason, chat::FinishReason::context_full);
    EXPECT_EQ(finished.usage.prompt + finished.usage.generated, 20U);
    EXPECT_EQ(text_of(request.id), "bcdef");
}

class FewPages : public SchedulerTest {
  protected:
    FewPages() : SchedulerTest(10 * kPagePositions, 3) {}
};

TEST_F(FewPages, KeptConversationsMakeRoomForTheRunningOne) {
    answer(ask(std::string(kPagePositions, '.') + "v"));
    const auto request = ask(std::string(2 * kPagePositions, ',') + "v");
    EXPECT_EQ(answer(request).reason, chat::FinishReason::stop);
    EXPECT_EQ(text_of(request.id), "wxyz");
}

TEST_F(FewPages, TheYoungestGivesUpWhenNoPageIsLeft) {
    const auto old = ask(std::string(kPagePositions, '.') + "m");
    scheduler->generate(channel, old);
    scheduler->step();
    scheduler->step();
    const auto young = ask(std::string(3 * kPagePositions, ',') + "m");
    scheduler->generate(channel, young);
    run_to_end();
    EXPECT_EQ(ending_of<chat::Failed>(young.id).exit_code, static_cast<int>(ErrorKind::memory));
    ending_of<chat::Finished>(old.id);
    EXPECT_EQ(text_of(old.id), "nopqrstuvwxyz");
}

}  // namespace
}  // namespace core
