#include "tests/core/engine/resume_world.h"

#include <poll.h>

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <utility>
#include <variant>

#include <gtest/gtest.h>

#include "core/kernels/kernels.h"

namespace core {
namespace {

// Of the tiny models' vocabulary.
constexpr TokenId kEnd = 2;
constexpr TokenId kFirstPlain = 4;
constexpr TokenId kVocab = 50;

size_t common_length(std::span<const TokenId> a, std::span<const TokenId> b) {
    return static_cast<size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}

chat::KvTypeChoice choice_of(KvType type) {
    switch (type) {
        case KvType::f32: return chat::KvTypeChoice::f32;
        case KvType::q8: return chat::KvTypeChoice::q8;
        case KvType::f16: break;
    }
    return chat::KvTypeChoice::f16;
}

support::TestModel speaking_model(support::Family family) {
    auto model = support::tiny_model(family, support::Storage::q8_0);
    support::add_vocabulary(model);
    return model;
}

}  // namespace

void LogitBook::enter(std::span<const TokenId> line, std::span<const float> logits) {
    const std::vector<float> row(logits.begin(), logits.end());
    const auto [entry, is_new] = rows_.try_emplace({line.begin(), line.end()}, row);
    EXPECT_TRUE(is_new || entry->second == row)
        << "other logits after the same " << line.size() << " tokens";
}

void LogitBook::verify(Model& model, KvType type) const {
    const PageLayout layout(model.kv_shape(), type);
    for (auto entry = rows_.begin(); entry != rows_.end(); ++entry) {
        const std::vector<TokenId>& line = entry->first;
        // In the order of the map what continues a line follows it.
        const auto next = std::next(entry);
        if (next != rows_.end() && common_length(next->first, line) == line.size()) continue;
        PagePool pages(layout, (line.size() / kPagePositions + 1) * layout.page_bytes());
        Sequence sequence(pages);
        std::vector<float> logits;
        const Slice slice{.sequence = &sequence, .tokens = line, .logits = LogitRows::all};
        model.forward({&slice, 1}, logits);
        const size_t vocab = logits.size() / line.size();
        for (size_t length = 1; length <= line.size(); ++length) {
            const auto booked =
                rows_.find({line.begin(), line.begin() + static_cast<std::ptrdiff_t>(length)});
            if (booked == rows_.end()) continue;
            const auto row = std::span(logits).subspan((length - 1) * vocab, vocab);
            EXPECT_TRUE(std::ranges::equal(booked->second, row))
                << "computed anew, the logits after " << length << " tokens are others";
        }
    }
}

World::World(const WorldOptions& options)
    : options_(options), file_(speaking_model(options.family)) {
    restart();
}

World::~World() = default;

void World::restart(uint32_t prefill_chunk) {
    constexpr uint64_t kDiskBudget = uint64_t{1} << 30U;
    scheduler_.reset();
    model_.reset();
    disk_.reset();
    if (options_.on_disk)
        disk_.emplace(folder_.path(), kDiskBudget);
    else
        known_.clear();
    chat::ModelReady ready;
    model_.emplace(load_served_model(
        {.path = file_.path(), .context = options_.context, .kv_type = choice_of(options_.type)},
        {.kernels = &select_kernels(), .pool = &pool_, .progress = {}}, ready));
    run_ = std::exchange(model_->forward,
                         [this](std::span<const Slice> batch, std::vector<float>& logits) {
                             return forward(batch, logits);
                         });
    scheduler_.emplace(*model_, prefill_chunk, Scheduler::Clock::now, disk_ ? &*disk_ : nullptr);
}

std::vector<bool> World::forward(std::span<const Slice> batch, std::vector<float>& logits) {
    auto committed = run_(batch, logits);
    std::span<const float> rest(logits);
    for (size_t i = 0; i < batch.size(); ++i) {
        if (batch[i].logits == LogitRows::none) continue;
        if (committed[i]) book.enter(batch[i].sequence->tokens(), rest.first(model_->vocab));
        rest = rest.subspan(model_->vocab);
    }
    return committed;
}

chat::Generate World::request_of(const Question& question) const {
    chat::Sampling sampling{.temperature = options_.greedy ? 0.0F : 1.0F,
                            .top_k = 0,
                            .top_p = 1,
                            .min_p = 0,
                            .logit_bias = {{kEnd, -std::numeric_limits<float>::infinity()}},
                            .seed = 7};
    return {.scope = question.scope,
            .prompt = question.prompt,
            .forced_prefix = question.forced_prefix,
            .sampling = std::move(sampling),
            .max_tokens = question.max_tokens,
            .choices = question.choices,
            .detail = chat::Detail::text,
            .persist = question.persist};
}

Answers World::ask(Question question) {
    return ask_together({std::move(question)}).front();
}

std::vector<Answers> World::ask_together(std::vector<Question> questions) {
    std::vector<chat::RequestId> ids;
    for (Question& question : questions) {
        chat::Generate request = request_of(question);
        request.id = channel_.next_id();
        ids.push_back(request.id);
        scheduler_->generate(channel_, std::move(request));
        asked_[ids.back()].answers.choices.resize(question.choices);
        asked_[ids.back()].question = std::move(question);
    }
    while (!scheduler_->idle()) {
        scheduler_->follow_disk();
        scheduler_->step();
        take_events();
        if (!scheduler_->idle() && !scheduler_->ready()) wait_for_disk();
    }
    std::vector<Answers> answers;
    for (const auto id : ids) {
        const Asked& asked = asked_.at(id);
        EXPECT_TRUE(asked.finished);
        check_usage(asked.question, asked.answers.usage);
        answers.push_back(asked.answers);
    }
    // Only now: what runs together may or may not find what the others read.
    for (const auto id : ids) {
        const auto& [question, given, finished] = asked_.at(id);
        for (const auto& tokens : given.choices)
            known_[question.scope].push_back(
                joined(joined(question.prompt, question.forced_prefix), tokens));
        asked_.erase(id);
    }
    return answers;
}

void World::wait_for_disk() {
    if (!disk_) throw std::runtime_error("the scheduler waits for nothing");
    pollfd entry{.fd = disk_->fd(), .events = POLLIN, .revents = 0};
    if (::poll(&entry, 1, 60'000) != 1) throw std::runtime_error("the disk thread is silent");
}

void World::take_events() {
    while (auto event = channel_.poll_event()) {
        if (const auto* failed = std::get_if<chat::Failed>(&*event))
            throw std::runtime_error(failed->sentence);
        if (const auto* finished = std::get_if<chat::Finished>(&*event)) {
            Asked& asked = asked_.at(finished->id);
            asked.answers.usage = finished->usage;
            asked.finished |= finished->last_choice;
            auto& tokens = asked.answers.choices.at(finished->choice);
            const auto forced = static_cast<std::ptrdiff_t>(asked.question.forced_prefix.size());
            tokens.erase(tokens.begin(), tokens.begin() + forced);
        } else if (const auto* delta = std::get_if<chat::Delta>(&*event)) {
            auto& tokens = asked_.at(delta->id).answers.choices.at(delta->choice);
            for (const chat::Token& token : delta->tokens)
                tokens.push_back(token.id);
        }
    }
}

// Recomputed are the tokens after the first difference from what has been read, and at most one
// more: the last token of an answer was chosen and not yet read, and of a prompt that is known to
// its end the last one's logits are wanted.
void World::check_usage(const Question& question, const chat::Usage& usage) const {
    const auto line = joined(question.prompt, question.forced_prefix);
    size_t common = 0;
    if (const auto known = known_.find(question.scope); known != known_.end())
        for (const auto& other : known->second)
            common = std::max(common, common_length(line, other));
    EXPECT_EQ(usage.prompt, line.size());
    EXPECT_EQ(usage.reused + usage.recomputed, usage.prompt);
    EXPECT_LE(usage.recomputed, line.size() - common + 1) << common << " tokens were known";
    EXPECT_GE(usage.recomputed, 1U);
}

void World::verify() {
    book.verify(*model_->model, options_.type);
}

std::vector<TokenId> some_tokens(size_t count, uint32_t seed) {
    std::vector<TokenId> tokens(count);
    uint32_t state = seed * 2654435761U + 1;
    for (TokenId& token : tokens) {
        state = state * 1664525U + 1013904223U;
        token = kFirstPlain + static_cast<TokenId>((state >> 8U) % (kVocab - kFirstPlain));
    }
    return tokens;
}

std::vector<TokenId> joined(std::vector<TokenId> line, std::span<const TokenId> more) {
    line.insert(line.end(), more.begin(), more.end());
    return line;
}

}  // namespace core
