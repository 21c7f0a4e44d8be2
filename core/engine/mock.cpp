#include "core/engine/mock.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "core/base/error.h"
#include "core/engine/clients.h"
#include "core/engine/mock_prompt.h"
#include "core/engine/mock_script.h"

namespace core {
namespace {

// How often cancel flags are looked at while nothing else is due. They are flags and not messages,
// so that pool tasks of the real engine can read them; nothing wakes a thread that sleeps.
constexpr Milliseconds kFlagInterval{2};

// With fake time a reply runs as fast as its client drains, not megabytes ahead of it: what a test
// sees then depends on the client and not on the speed of this thread.
constexpr size_t kMaxAhead = size_t{64} << 10U;

// How often a load that waits for a file looks for it.
constexpr Milliseconds kFileInterval{5};

// Progress events of a restore, the first of them at its beginning.
constexpr uint32_t kRestoreSteps = 5;

// Milliseconds since the start, slept or only counted.
class MockClock {
  public:
    explicit MockClock(bool fake) : fake_(fake) {}
    bool fake() const { return fake_; }
    Milliseconds now() const {
        if (fake_) return now_;
        return std::chrono::duration_cast<Milliseconds>(std::chrono::steady_clock::now() - start_);
    }
    void advance(Milliseconds to) { now_ = std::max(now_, to); }

  private:
    bool fake_;
    Milliseconds now_{0};
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

double seconds(Milliseconds time) {
    return static_cast<double>(time.count()) / 1000.0;
}

// A LoadModel, Generate, Prefill or Kv prefetch that takes its (virtual) time.
struct Job {
    chat::Channel* channel = nullptr;
    chat::Request request;
    chat::CancelFlag cancel;
    Milliseconds started{0};
    Milliseconds due{0};  // when its next step happens
    MockHold hold = MockHold::none;

    // LoadModel
    uint32_t load_step = 0;

    // Generate, Prefill, Kv
    uint32_t restore_step = 0;

    // Generate, Prefill
    const MockReply* reply = nullptr;
    MockPrompt prompt = {};
    chat::Sampling sampling = {};
    uint32_t prefilled = 0;
    bool told_prefix = false;
    chat::Usage usage = {};
    Milliseconds first_token{0};
    Milliseconds next_stats{0};
    bool over = false;
};

}  // namespace

struct MockEngine::Impl {
    Impl(const std::string& path, bool fake_time)
        : script(read_mock_script(path)), clock(fake_time), thread([this] { run(); }) {}

    ~Impl() {
        clients.stop();
        thread.join();
    }

    void run();
    std::optional<Milliseconds> time_to_sleep() const;
    void accept(Arrival arrival);
    void end_at_once(chat::Channel& channel, const chat::Request& request);
    chat::Spelled spell(const chat::Spell& request);
    void answer_kv(chat::Channel& channel, const chat::Kv& request);
    void advance();
    void step(Job& job);
    void step_load(Job& job);
    void step_restore(Job& job, uint32_t tokens, Milliseconds delay);
    void step_generate(Job& job);
    void emit_token(Job& job);
    void begin_answer(Job& job);
    void tell_prefix(Job& job);
    void finish(Job& job, chat::FinishReason reason);
    void fail(Job& job, const std::string& sentence, int exit_code);
    void emit(Job& job, chat::Event event);
    const MockReply* choose(const MockPrompt& prompt);
    const MockToken* next_token(const Job& job) const;
    void schedule_token(Job& job);
    bool holds_back(const Job& job) const;

    // Constant after construction.
    MockScript script;

    Clients clients;

    // Engine thread only.
    MockClock clock;
    std::deque<Job> jobs;  // in order of arrival
    std::map<const MockReply*, uint32_t> uses;
    std::map<std::pair<chat::Channel*, chat::RequestId>, chat::Token> last_tokens;
    std::vector<std::string> vocabulary;  // words that were spelled, by id
    bool loaded = false;

    std::thread thread;  // last: it uses everything above
};

void MockEngine::Impl::run() {
    while (clients.wait(time_to_sleep())) {
        for (chat::Channel* channel : clients.leaving()) {
            std::erase_if(jobs, [&](const Job& job) { return job.channel == channel; });
            std::erase_if(last_tokens,
                          [&](const auto& entry) { return entry.first.first == channel; });
            clients.released(channel);
        }
        for (Arrival& arrival : clients.take_arrivals())
            accept(std::move(arrival));
        advance();
        std::erase_if(jobs, [](const Job& job) { return job.over; });
    }
    clients.engine_ended();
}

bool MockEngine::Impl::holds_back(const Job& job) const {
    return job.hold != MockHold::none || (clock.fake() && job.channel->undrained() > kMaxAhead);
}

std::optional<Milliseconds> MockEngine::Impl::time_to_sleep() const {
    if (jobs.empty()) return std::nullopt;
    Milliseconds shortest = kFlagInterval;
    for (const Job& job : jobs)
        if (!holds_back(job))
            shortest = clock.fake()
                           ? Milliseconds(0)
                           : std::min(shortest, std::max(job.due - clock.now(), Milliseconds(0)));
    return shortest;
}

// With fake time one step per turn, of the job that is due first; otherwise all that are due.
void MockEngine::Impl::advance() {
    for (Job& job : jobs)
        if (job.cancel->load()) {
            if (std::holds_alternative<chat::Generate>(job.request)) {
                finish(job, chat::FinishReason::cancelled);
            } else if (!std::holds_alternative<chat::LoadModel>(job.request)) {
                emit(job, chat::Done{.id = chat::request_of(job.request)});
                job.over = true;
            } else {
                fail(job, "Loading was cancelled.", static_cast<int>(ErrorKind::internal));
            }
        }
    if (!clock.fake()) {
        for (Job& job : jobs)
            if (!job.over && !holds_back(job) && job.due <= clock.now()) step(job);
        return;
    }
    Job* first = nullptr;
    for (Job& job : jobs)
        if (!job.over && !holds_back(job) && (first == nullptr || job.due < first->due))
            first = &job;
    if (first == nullptr) return;
    clock.advance(first->due);
    step(*first);
}

void MockEngine::Impl::accept(Arrival arrival) {
    const auto cancel = chat::cancel_flag_of(arrival.request);
    const auto* kv = std::get_if<chat::Kv>(&arrival.request);
    const bool prefetches =
        kv != nullptr && kv->action == chat::KvAction::prefetch && script.kv.prefetch_tokens > 0;
    if (!cancel || (kv != nullptr && !prefetches))
        return end_at_once(*arrival.channel, arrival.request);
    Job job{.channel = arrival.channel,
            .request = std::move(arrival.request),
            .cancel = cancel,
            .started = clock.now(),
            .due = clock.now()};
    job.next_stats = clock.now() + script.model.stats_every;
    if (std::holds_alternative<chat::LoadModel>(job.request)) {
        job.due += script.model.load_delay / script.model.load_steps;
        jobs.push_back(std::move(job));
        return;
    }
    if (!loaded) return fail(job, "No model is loaded.", static_cast<int>(ErrorKind::usage));
    if (prefetches) return jobs.push_back(std::move(job));
    if (const auto* prefill = std::get_if<chat::Prefill>(&job.request)) {
        job.prompt = read_mock_prompt({.prompt = prefill->messages});
    } else {
        const auto& generate = std::get<chat::Generate>(job.request);
        job.prompt = read_mock_prompt(generate);
        job.sampling = generate.sampling;
    }
    job.reply = choose(job.prompt);
    if (job.reply == nullptr)
        return fail(job, "No reply of the script matches \"" + job.prompt.text + "\".",
                    static_cast<int>(ErrorKind::backend));
    if (std::holds_alternative<chat::Generate>(job.request)) ++uses[job.reply];
    job.usage.prompt = job.reply->prompt_tokens != 0 ? job.reply->prompt_tokens : job.prompt.words;
    job.usage.reused = std::min(job.reply->reused_tokens, job.usage.prompt);
    job.usage.restored = std::min(job.reply->restored_tokens, job.usage.reused);
    job.usage.recomputed = job.usage.prompt - job.usage.reused;
    job.prefilled = job.usage.reused;
    if (job.usage.restored == 0) job.due += job.reply->prefill_delay;
    jobs.push_back(std::move(job));
}

const MockReply* MockEngine::Impl::choose(const MockPrompt& prompt) {
    for (const MockReply& reply : script.replies) {
        const bool matches = !reply.match || prompt.text.find(*reply.match) != std::string::npos;
        if (matches && (reply.times == 0 || uses[&reply] < reply.times)) return &reply;
    }
    return nullptr;
}

// Requests that need no time.
void MockEngine::Impl::end_at_once(chat::Channel& channel, const chat::Request& request) {
    const chat::RequestId id = chat::request_of(request);
    if (const auto* update = std::get_if<chat::UpdateSampling>(&request)) {
        for (Job& job : jobs)
            if (job.channel == &channel && chat::request_of(job.request) == update->target) {
                job.sampling = update->sampling;
                if (job.hold == MockHold::update) job.hold = MockHold::none;
            }
        channel.emit(chat::Done{.id = id});
    } else if (const auto* count = std::get_if<chat::Count>(&request)) {
        chat::Counted counted{.id = id};
        if (const auto* text = std::get_if<std::string>(&count->what))
            counted.tokens.push_back(mock_word_count(*text));
        else
            for (const auto& message : std::get<std::vector<chat::Message>>(count->what))
                counted.tokens.push_back(mock_word_count(message.text));
        for (const uint32_t tokens : counted.tokens)
            counted.total += tokens;
        channel.emit(std::move(counted));
    } else if (const auto* spell = std::get_if<chat::Spell>(&request)) {
        channel.emit(this->spell(*spell));
    } else if (const auto* wish = std::get_if<chat::Preview>(&request)) {
        const auto token = last_tokens.find({&channel, wish->target});
        if (token == last_tokens.end())
            channel.emit(chat::Failed{.id = id, .sentence = "That answer has no token yet."});
        else
            channel.emit(chat::Previewed{.id = id, .alternatives = token->second.alternatives});
    } else if (std::holds_alternative<chat::UnloadModel>(request)) {
        loaded = false;
        channel.emit(chat::Done{.id = id});
    } else if (const auto* kv = std::get_if<chat::Kv>(&request)) {
        answer_kv(channel, *kv);
    } else {
        channel.emit(chat::Failed{.id = id, .sentence = "The mock engine cannot do that."});
    }
}

// A word gets the next id when it is asked for first.
chat::Spelled MockEngine::Impl::spell(const chat::Spell& request) {
    chat::Spelled spelled{.id = request.id};
    if (const auto* text = std::get_if<std::string>(&request.what)) {
        for (const std::string& word : mock_words(*text)) {
            const auto known = std::ranges::find(vocabulary, word);
            spelled.pieces.push_back(
                {.id = static_cast<TokenId>(known - vocabulary.begin()), .text = word});
            if (known == vocabulary.end()) vocabulary.push_back(word);
        }
        return spelled;
    }
    for (const TokenId id : std::get<std::vector<TokenId>>(request.what)) {
        const bool known = id >= 0 && static_cast<size_t>(id) < vocabulary.size();
        spelled.pieces.push_back(
            {.id = id, .text = known ? vocabulary[static_cast<size_t>(id)] : ""});
    }
    return spelled;
}

void MockEngine::Impl::answer_kv(chat::Channel& channel, const chat::Kv& request) {
    if (request.action != chat::KvAction::list) {
        channel.emit(chat::Done{.id = request.id});
        return;
    }
    chat::KvListed listed = script.kv.totals;
    listed.id = request.id;
    for (size_t i = 0; i < request.lines.size(); ++i) {
        uint32_t words = 0;
        for (const chat::Message& message : request.lines[i])
            words += mock_word_count(message.text);
        listed.entries.push_back(i < script.kv.entries.size()
                                     ? script.kv.entries[i]
                                     : chat::KvEntry{.tokens = words, .resident = words});
    }
    channel.emit(std::move(listed));
}

void MockEngine::Impl::step(Job& job) {
    if (std::holds_alternative<chat::LoadModel>(job.request))
        step_load(job);
    else if (std::holds_alternative<chat::Kv>(job.request))
        step_restore(job, script.kv.prefetch_tokens, script.kv.prefetch_delay);
    else if (job.usage.restored > 0 && job.restore_step < kRestoreSteps)
        step_restore(job, job.usage.restored, job.reply->restore_delay);
    else
        step_generate(job);
}

void MockEngine::Impl::step_restore(Job& job, uint32_t tokens, Milliseconds delay) {
    emit(job, chat::Progress{.id = chat::request_of(job.request),
                             .phase = chat::Phase::restoring,
                             .done = uint64_t{tokens} * job.restore_step / (kRestoreSteps - 1),
                             .total = tokens});
    if (++job.restore_step < kRestoreSteps) {
        job.due += delay / (kRestoreSteps - 1);
        return;
    }
    job.usage.restore_seconds = seconds(clock.now() - job.started);
    if (std::holds_alternative<chat::Kv>(job.request)) {
        emit(job, chat::Done{.id = chat::request_of(job.request)});
        job.over = true;
    } else {
        job.due += job.reply->prefill_delay;
    }
}

void MockEngine::Impl::step_load(Job& job) {
    const MockModel& model = script.model;
    const uint64_t total = model.ready.weight_bytes;
    std::error_code ignored;
    if (job.load_step > 0 && !model.load_waits_for.empty() &&
        !std::filesystem::exists(model.load_waits_for, ignored)) {
        job.due = clock.now() + kFileInterval;
        return;
    }
    ++job.load_step;
    emit(job, chat::Progress{.id = chat::request_of(job.request),
                             .phase = chat::Phase::loading,
                             .done = total * job.load_step / model.load_steps,
                             .total = total});
    if (model.hold_load) {
        job.hold = MockHold::cancel;
    } else if (model.error && job.load_step > model.error->after) {
        fail(job, model.error->sentence, model.error->exit_code);
    } else if (job.load_step >= model.load_steps) {
        chat::ModelReady ready = model.ready;
        ready.id = chat::request_of(job.request);
        const uint32_t wanted = std::get<chat::LoadModel>(job.request).context;
        if (wanted != 0) ready.context = wanted;
        ready.seconds = seconds(clock.now() - job.started);
        loaded = true;
        emit(job, std::move(ready));
        job.over = true;
    }
    job.due += model.load_delay / model.load_steps;
}

void MockEngine::Impl::step_generate(Job& job) {
    const MockReply& reply = *job.reply;
    if (job.prefilled < job.usage.prompt) {
        job.prefilled += std::min(reply.prefill_chunk, job.usage.prompt - job.prefilled);
        emit(job, chat::Progress{.id = chat::request_of(job.request),
                                 .phase = chat::Phase::prefill,
                                 .done = job.prefilled,
                                 .total = job.usage.prompt,
                                 .reason = reply.prefill_reason});
        job.usage.prefill_seconds = seconds(clock.now() - job.started);
        if (reply.hold_prefill) job.hold = MockHold::cancel;
        if (job.prefilled < job.usage.prompt)
            job.due += reply.prefill_delay;
        else
            begin_answer(job);
        return;
    }
    if (std::holds_alternative<chat::Prefill>(job.request)) {
        emit(job, chat::Done{.id = chat::request_of(job.request)});
        job.over = true;
        return;
    }
    emit_token(job);
}

const MockToken* MockEngine::Impl::next_token(const Job& job) const {
    const auto& tokens = job.reply->tokens;
    size_t index = job.usage.generated;
    if (const auto* request = std::get_if<chat::Generate>(&job.request))
        index += request->forced_prefix.size();
    if (index < tokens.size()) return &tokens[index];
    return job.reply->endless ? &tokens[index % tokens.size()] : nullptr;
}

void MockEngine::Impl::schedule_token(Job& job) {
    if (const MockToken* token = next_token(job)) {
        job.due += token->delay;
        job.hold = token->hold;
    }
}

void MockEngine::Impl::emit_token(Job& job) {
    const auto& request = std::get<chat::Generate>(job.request);
    const MockReply& reply = *job.reply;
    const MockToken* scripted = next_token(job);
    if (!std::exchange(job.told_prefix, true)) tell_prefix(job);
    if (reply.error && job.usage.generated >= reply.error->after)
        return fail(job, reply.error->sentence, reply.error->exit_code);
    if (scripted == nullptr) return finish(job, reply.finish);
    if (job.usage.prompt + job.usage.generated >= script.model.ready.context)
        return finish(job, chat::FinishReason::context_full);
    if (request.max_tokens != 0 && job.usage.generated >= request.max_tokens)
        return finish(job, chat::FinishReason::length);

    if (job.usage.generated++ == 0) {
        job.first_token = clock.now();
        job.usage.first_token_seconds = seconds(clock.now() - job.started);
    }
    job.usage.decode_seconds = seconds(clock.now() - job.first_token);
    for (uint32_t choice = 0; choice < request.choices && !job.over; ++choice) {
        chat::Token token = scripted->token;
        token.bytes = fill_placeholders(token.bytes, job.prompt, job.sampling, choice);
        token.temperature = job.sampling.temperature;
        last_tokens[{job.channel, request.id}] = token;
        emit(job, chat::Delta{
                      .id = request.id, .choice = choice, .text = token.bytes, .tokens = {token}});
    }
    if (!job.over && clock.now() >= job.next_stats) {
        const double elapsed = job.usage.decode_seconds;
        emit(job, chat::Stats{.weight_bytes = script.model.ready.weight_bytes,
                              .kv_bytes_budget = script.model.ready.kv_bytes,
                              .context_used = job.usage.prompt + job.usage.generated,
                              .tokens_per_second = elapsed > 0 ? job.usage.generated / elapsed : 0,
                              .running = static_cast<uint32_t>(jobs.size())});
        job.next_stats = clock.now() + script.model.stats_every;
    }
    schedule_token(job);
}

// The prefix is there at once, whatever the token after it waits for.
void MockEngine::Impl::begin_answer(Job& job) {
    if (std::holds_alternative<chat::Generate>(job.request) &&
        !std::exchange(job.told_prefix, true))
        tell_prefix(job);
    schedule_token(job);
}

// Ids are places in the script; a forced text is one token more.
void MockEngine::Impl::tell_prefix(Job& job) {
    const auto& request = std::get<chat::Generate>(job.request);
    if (request.forced_prefix.empty() && request.forced_text.empty()) return;
    for (uint32_t choice = 0; choice < request.choices && !job.over; ++choice) {
        chat::Delta delta{.id = request.id, .choice = choice, .text = {}, .tokens = {}};
        const auto add = [&delta](chat::Token token) {
            delta.text += token.bytes;
            delta.tokens.push_back(std::move(token));
        };
        for (const TokenId id : request.forced_prefix) {
            const auto& tokens = job.reply->tokens;
            const auto place = static_cast<size_t>(id) % std::max<size_t>(tokens.size(), 1);
            const std::string bytes = tokens.empty() ? "" : tokens[place].token.bytes;
            add({.id = id, .bytes = fill_placeholders(bytes, job.prompt, job.sampling, choice)});
        }
        if (!request.forced_text.empty()) add({.id = 0, .bytes = request.forced_text});
        emit(job, std::move(delta));
    }
}

void MockEngine::Impl::finish(Job& job, chat::FinishReason reason) {
    const auto& request = std::get<chat::Generate>(job.request);
    job.over = true;
    for (uint32_t choice = 0; choice < request.choices; ++choice)
        job.channel->emit(chat::Finished{.id = request.id,
                                         .choice = choice,
                                         .last_choice = choice + 1 == request.choices,
                                         .reason = reason,
                                         .usage = job.usage,
                                         .seed = request.sampling.seed});
}

void MockEngine::Impl::fail(Job& job, const std::string& sentence, int exit_code) {
    job.over = true;
    job.channel->emit(chat::Failed{
        .id = chat::request_of(job.request), .sentence = sentence, .exit_code = exit_code});
}

// Like the real engine: a client that does not drain loses the request.
void MockEngine::Impl::emit(Job& job, chat::Event event) {
    if (!job.channel->emit(std::move(event)))
        fail(job, "The client does not read its events; the request was cancelled.",
             static_cast<int>(ErrorKind::backend));
}

MockEngine::MockEngine(const std::string& script_path, bool fake_time)
    : impl_(std::make_unique<Impl>(script_path, fake_time)) {}

MockEngine::~MockEngine() = default;

void MockEngine::attach(chat::Channel& channel) {
    impl_->clients.attach(channel);
}

void MockEngine::detach(chat::Channel& channel) {
    impl_->clients.detach(channel);
}

}  // namespace core
