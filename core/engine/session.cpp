#include "core/engine/session.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "core/base/error.h"

namespace core {
namespace {

double seconds_between(Session::Clock::time_point from, Session::Clock::time_point to) {
    return std::chrono::duration<double>(to - from).count();
}

void check_ids(std::span<const TokenId> ids, uint32_t vocab, const char* what) {
    for (const TokenId id : ids)
        if (id < 0 || static_cast<uint32_t>(id) >= vocab)
            throw Error(ErrorKind::usage, what,
                        "token " + std::to_string(id) + " is not in the vocabulary",
                        "ids go from 0 to " + std::to_string(vocab - 1));
}

Prompt render(const chat::Generate& request, const ServedModel& model) {
    const Tokenizer& tokenizer = *model.tokenizer;
    if (const auto* messages = std::get_if<std::vector<chat::Message>>(&request.prompt))
        return model.format.prompt(tokenizer, *messages);
    if (const auto* text = std::get_if<std::string>(&request.prompt))
        return raw_prompt(tokenizer, *text);
    Prompt prompt = raw_prompt(tokenizer, "");
    prompt.ids = std::get<std::vector<TokenId>>(request.prompt);
    return prompt;
}

// The ids of a text in the middle of an answer, or at its beginning, where a space may stand that
// is no content.
std::vector<TokenId> forced_ids(const chat::Generate& request, const Prompt& prompt,
                                const Tokenizer& tokenizer) {
    if (request.forced_text.empty()) return {};
    const bool space = prompt.strip_space && request.forced_prefix.empty();
    // Any id in front says that this is not where the text begins: no dummy prefix.
    const std::vector<TextSpan> spans = {
        {.text = {}, .specials = false, .tokens = {0}},
        {.text = (space ? " " : "") + request.forced_text, .specials = false}};
    std::vector<TokenId> ids = tokenizer.encode(spans);
    ids.erase(ids.begin());
    return ids;
}

}  // namespace

Session::Session(chat::Channel& channel, chat::Generate request, const ServedModel& model,
                 PrefixStore& store)
    : channel_(&channel),
      request_(std::move(request)),
      model_(&model),
      store_(&store),
      trunk_(*model.pages) {
    if (request_.choices == 0)
        throw Error(ErrorKind::usage, "choices", "is 0", "ask for at least one answer");
    prompt_ = render(request_, model);
    prompt_.stops.insert(prompt_.stops.end(), request_.stop.begin(), request_.stop.end());
    const std::vector<TokenId> forced = forced_ids(request_, prompt_, *model_->tokenizer);
    request_.forced_prefix.insert(request_.forced_prefix.end(), forced.begin(), forced.end());
    std::ranges::stable_sort(request_.timeline, {}, &chat::SamplingChange::at_token);
    to_read_ = prompt_.ids;
    to_read_.insert(to_read_.end(), request_.forced_prefix.begin(), request_.forced_prefix.end());
    prepare();
}

// Text that has not been submitted is kept in memory only: it is on disk when an answer to it is.
Session::Session(chat::Channel& channel, chat::Prefill request, const ServedModel& model,
                 PrefixStore& store)
    : channel_(&channel),
      request_{.id = request.id,
               .scope = std::move(request.scope),
               .prompt = std::move(request.messages),
               .persist = false,
               .cancel = std::move(request.cancel)},
      model_(&model),
      store_(&store),
      only_prefill_(true),
      trunk_(*model.pages) {
    prompt_ = render(request_, model);
    to_read_ = prompt_.ids;
    prepare();
}

void Session::prepare() {
    if (to_read_.empty())
        throw Error(ErrorKind::usage, "prompt", "is empty", "there is nothing to continue");
    check_ids(to_read_, model_->vocab, "prompt");
    if (to_read_.size() >= model_->context)
        throw Error(ErrorKind::context, "",
                    "the prompt has " + std::to_string(to_read_.size()) +
                        " tokens, the context holds " + std::to_string(model_->context),
                    "shorten it or load the model with a larger --ctx");
    usage_.prompt = static_cast<uint32_t>(to_read_.size());
    take_prefix();
    restore_ = store_->restore(request_.scope, to_read_);
}

void Session::take_prefix() {
    trunk_ = store_->longest_prefix(request_.scope, to_read_);
    usage_.reused = trunk_.length();
    usage_.recomputed = usage_.prompt - usage_.reused;
}

void Session::follow_restore() {
    if (!restoring()) return;
    if (restore_->restored > told_restored_) {
        told_restored_ = restore_->restored;
        emit(chat::Progress{.id = id(),
                            .phase = chat::Phase::restoring,
                            .done = told_restored_,
                            .total = restore_->found});
    }
    if (!restore_->done) return;
    damaged_ = restore_->damaged;
    take_prefix();
    if (restore_->restored > 0 && usage_.reused > restore_->begin) {
        usage_.restored = usage_.reused - restore_->begin;
        usage_.restored_bytes = restore_->bytes;
        usage_.restore_seconds = restore_->seconds;
    }
    restore_.reset();
}

uint32_t Session::context_used() const {
    uint32_t used = trunk_.length();
    for (const Answer& answer : answers_)
        used = std::max(used, static_cast<uint32_t>(prompt_.ids.size() + answer.tokens.size()));
    return used;
}

uint32_t Session::left_to_read() const {
    if (!prefilling() || restoring()) return 0;
    return static_cast<uint32_t>(to_read_.size()) - trunk_.length();
}

uint32_t Session::generated(const Answer& answer) const {
    return static_cast<uint32_t>(answer.tokens.size() - request_.forced_prefix.size());
}

uint32_t Session::add_slices(std::vector<Slice>& batch, uint32_t prefill_tokens) {
    for (Answer& answer : answers_)
        if (!answer.finished)
            batch.push_back({.sequence = &answer.sequence,
                             .tokens = std::span(answer.tokens).last(1),
                             .logits = LogitRows::last,
                             .cancel = request_.cancel.get()});
    if (!prefilling() || restoring() || prefill_tokens == 0) return 0;
    if (!prefill_started_) {
        prefill_started_ = Clock::now();
        emit_prefill_progress();
    }
    const std::span<const TokenId> rest = std::span(to_read_).subspan(trunk_.length());
    const auto chunk = rest.first(std::min<size_t>(rest.size(), prefill_tokens));
    const bool last = chunk.size() == rest.size() && !only_prefill_;
    batch.push_back({.sequence = &trunk_,
                     .tokens = chunk,
                     .logits = last ? LogitRows::last : LogitRows::none,
                     .cancel = request_.cancel.get()});
    return static_cast<uint32_t>(chunk.size());
}

// A slice that was not committed belongs to a cancelled request: the scheduler ends it before the
// next pass.
void Session::take_results(const std::vector<bool>& committed, std::span<const float> logits,
                           Sampler& sampler) {
    size_t slice = 0;
    size_t row = 0;
    const auto next_row = [&] { return logits.subspan(row++ * model_->vocab, model_->vocab); };
    if (prefilling()) {
        if (!committed.at(slice)) return;
        emit_prefill_progress();
        if (trunk_.length() < to_read_.size()) return;
        usage_.prefill_seconds = seconds_between(*prefill_started_, Clock::now());
        if (!only_prefill_) return start_answers(next_row(), sampler);
        emit(chat::Done{.id = id()});
        over_ = true;
        return;
    }
    for (Answer& answer : answers_) {
        if (answer.finished) continue;
        const auto row_logits = next_row();
        if (committed.at(slice++)) choose_token(answer, row_logits, sampler);
    }
}

Session::Answer Session::make_answer(uint32_t choice, Sequence sequence) {
    return {.choice = choice,
            .sequence = std::move(sequence),
            .tokens = request_.forced_prefix,
            .text = Detokenizer(*model_->tokenizer, prompt_.stops, prompt_.strip_space)};
}

// All choices begin from the logits of the prompt's last token; they share its pages.
void Session::start_answers(std::span<const float> logits, Sampler& sampler) {
    first_token_ = Clock::now();
    usage_.first_token_seconds = seconds_between(started_, first_token_);
    share_full_pages();
    unfinished_ = request_.choices;
    for (uint32_t choice = 0; choice < request_.choices; ++choice)
        answers_.push_back(make_answer(choice, trunk_.fork()));
    trunk_ = Sequence(*model_->pages);
    for (Answer& answer : answers_) {
        if (!request_.forced_prefix.empty()) {
            chat::Delta delta{.id = id(), .choice = answer.choice};
            for (const TokenId token : request_.forced_prefix) {
                delta.text += answer.text.push(token);
                delta.tokens.push_back(
                    {.id = token, .bytes = std::string(model_->tokenizer->bytes(token))});
            }
            tell_text(answer, std::move(delta));
        }
        choose_token(answer, logits, sampler);
    }
}

const chat::Sampling& Session::sampling_at(size_t token) {
    auto& timeline = request_.timeline;
    const auto begin_later = std::ranges::find_if(
        timeline, [&](const chat::SamplingChange& change) { return change.at_token > token; });
    return begin_later == timeline.begin() ? request_.sampling : std::prev(begin_later)->sampling;
}

void Session::update_sampling(const chat::Sampling& sampling) {
    request_.sampling = sampling;
    request_.timeline.clear();
}

void Session::choose_token(Answer& answer, std::span<const float> logits, Sampler& sampler) {
    if (answer.choice == 0) last_logits_.assign(logits.begin(), logits.end());
    chat::Token token = sampler.sample(logits, sampling_at(answer.tokens.size()),
                                       {.prompt = prompt_.ids,
                                        .answer = answer.tokens,
                                        .choice = answer.choice,
                                        .detail = request_.detail});
    const Tokenizer& tokenizer = *model_->tokenizer;
    token.bytes = tokenizer.bytes(token.id);
    for (chat::Alternative& alternative : token.alternatives)
        alternative.bytes = tokenizer.bytes(alternative.id);
    answer.tokens.push_back(token.id);
    ++tokens_chosen_;

    chat::Delta delta{.id = id(), .choice = answer.choice, .text = answer.text.push(token.id)};
    const auto reason = reason_to_stop(answer);
    if (reason) delta.text += answer.text.finish();
    delta.tokens.push_back(std::move(token));
    tell_text(answer, std::move(delta));
    if (reason && !undrained_) finish(answer, *reason);
}

std::optional<LastChoice> Session::last_choice() const {
    if (last_logits_.empty()) return std::nullopt;
    LastChoice last{.logits = last_logits_, .prompt = prompt_.ids, .answer = answers_[0].tokens};
    last.answer.pop_back();
    return last;
}

std::optional<chat::FinishReason> Session::reason_to_stop(const Answer& answer) const {
    if (std::ranges::find(prompt_.stop_ids, answer.tokens.back()) != prompt_.stop_ids.end() ||
        answer.text.stopped())
        return chat::FinishReason::stop;
    if (request_.max_tokens != 0 && generated(answer) >= request_.max_tokens)
        return chat::FinishReason::length;
    if (prompt_.ids.size() + answer.tokens.size() >= model_->context)
        return chat::FinishReason::context_full;
    return std::nullopt;
}

void Session::finish(Answer& answer, chat::FinishReason reason) {
    answer.finished = true;
    --unfinished_;
    chat::Usage usage = usage_;
    usage.generated = generated(answer);
    usage.decode_seconds = seconds_between(first_token_, Clock::now());
    over_ = unfinished_ == 0;
    chat::Finished finished{.id = id(),
                            .choice = answer.choice,
                            .last_choice = over_,
                            .reason = reason,
                            .usage = usage,
                            .seed = request_.sampling.seed};
    if (goes_to_disk()) {
        const std::span<const TokenId> line = kept_of(answer);
        finished.cached_line.assign(line.begin(), line.end());
        finished.cache_root = store_->root(request_.scope);
    }
    channel_->emit(std::move(finished));
}

void Session::tell_text(Answer& answer, chat::Delta delta) {
    answer.text_bytes += delta.text.size();
    emit(std::move(delta));
}

void Session::cancel() {
    if (over_) return;
    restore_.reset();
    if (only_prefill_) {
        over_ = true;
        trunk_ = Sequence(*model_->pages);
        channel_->emit(chat::Done{.id = id()});
        return;
    }
    if (answers_.empty()) {
        if (prefill_started_)
            usage_.prefill_seconds = seconds_between(*prefill_started_, Clock::now());
        first_token_ = Clock::now();
        unfinished_ = request_.choices;
        for (uint32_t choice = 0; choice < request_.choices; ++choice)
            answers_.push_back(make_answer(choice, trunk_.fork()));
        for (Answer& answer : answers_)
            finish(answer, chat::FinishReason::cancelled);
        return;
    }
    for (Answer& answer : answers_) {
        if (answer.finished) continue;
        if (std::string rest = answer.text.finish(); !rest.empty())
            tell_text(answer, {.id = id(), .choice = answer.choice, .text = std::move(rest)});
        finish(answer, chat::FinishReason::cancelled);
    }
}

void Session::fail(const Error& error) {
    if (over_) return;
    over_ = true;
    failed_ = true;
    restore_.reset();
    channel_->emit(chat::Failed{
        .id = id(), .sentence = error.sentence(), .exit_code = static_cast<int>(error.kind())});
}

// Others that begin with the same text find it at once, not only when this answer has ended. The
// tail stays private: the answers are about to write it.
void Session::share_full_pages() {
    Sequence full = trunk_.fork();
    full.truncate(full.length() / kPagePositions * kPagePositions);
    store_->keep(request_.scope, full, Keep::in_memory);
}

// What a stop string cut off is no part of the conversation: the next turn has other ids there, and
// nobody could name these to have them forgotten.
std::span<const TokenId> Session::kept_of(const Answer& answer) const {
    const std::span<const TokenId> all = answer.sequence.tokens();
    if (!answer.text.stopped()) return all;
    return all.first(std::min(all.size(), prompt_.ids.size() + tokens_that_spell(answer)));
}

// Of what failed the client was told no ids by which it could have it forgotten.
void Session::leave() {
    const Keep where = !goes_to_disk()        ? Keep::in_memory
                       : request_.write_later ? Keep::to_be_saved
                                              : Keep::on_disk;
    store_->keep(request_.scope, trunk_, where);
    for (Answer& answer : answers_) {
        answer.sequence.truncate(static_cast<uint32_t>(kept_of(answer).size()));
        store_->keep(request_.scope, answer.sequence, where);
    }
}

size_t Session::tokens_that_spell(const Answer& answer) const {
    Detokenizer whole(*model_->tokenizer, {}, prompt_.strip_space);
    size_t bytes = 0;
    size_t count = 0;
    for (; count < answer.tokens.size(); ++count) {
        bytes += whole.push(answer.tokens[count]).size();
        if (bytes > answer.text_bytes) break;
    }
    return count;
}

void Session::emit_prefill_progress() {
    emit(chat::Progress{.id = id(),
                        .phase = chat::Phase::prefill,
                        .done = trunk_.length(),
                        .total = usage_.prompt,
                        .reason = damaged_ ? std::string(kDamaged) : ""});
}

void Session::emit(chat::Event event) {
    if (!channel_->emit(std::move(event))) undrained_ = true;
}

}  // namespace core
