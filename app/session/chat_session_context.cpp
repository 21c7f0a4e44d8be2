// The part of ChatSession that keeps prompts within the context window. A prompt that may not fit
// is counted first; what does not fit is decided by the user, or by the policy, and told either
// way.
#include <algorithm>
#include <utility>

#include "app/session/chat_session.h"
#include "app/session/title.h"
#include "core/base/units.h"

namespace app {
namespace {

using chat::TurnId;

// Between the instructions and what was summed up, where the model and the user see it.
constexpr std::string_view kSummaryHead = "Summary of what was said before:\n";
constexpr std::string_view kAskForSummary =
    "Sum up our conversation so far for your own memory: facts, decisions, names, numbers and open "
    "questions. Write only the summary.";
constexpr uint32_t kSummaryTokens = 512;
constexpr std::string_view kAskForTitle =
    "Give our conversation a title of two to six words. Write only the title.";
constexpr uint32_t kTitleTokens = 24;
// A message has no more tokens than bytes, and a template puts fewer than this around it.
constexpr size_t kAroundMessage = 32;

size_t most_tokens(const std::vector<chat::Message>& messages) {
    size_t most = kAroundMessage;
    for (const chat::Message& message : messages)
        most +=
            kAroundMessage + (message.tokens.empty() ? message.text.size() : message.tokens.size());
    return most;
}

// The instructions without an earlier summary.
std::string_view instructions(std::string_view system) {
    const size_t head = system.find(kSummaryHead);
    if (head == std::string_view::npos) return system;
    system = system.substr(0, head);
    while (system.ends_with('\n'))
        system.remove_suffix(1);
    return system;
}

}  // namespace

uint32_t ChatSession::reserved() const {
    return answer_reserve(model_ ? model_->context : 0, options_.max_tokens,
                          options_.context_reserve);
}

// Every answer begins here.
void ChatSession::answer(const Attempt& attempt, TimePoint now) {
    question_.reset();
    std::vector<chat::Message> messages = conversation_.messages(attempt.prompt, model_->name);
    const size_t most = most_tokens(messages) + attempt.tokens.size() + attempt.text.size();
    if (model_->context == 0 || most + reserved() <= model_->context) return generate(attempt, now);
    counting_ = Counting{.id = channel_.next_id(), .attempt = attempt};
    channel_.submit(chat::Count{.id = counting_->id, .what = std::move(messages)});
}

std::vector<CountedTurn> ChatSession::counted_turns(TurnId last,
                                                    const std::vector<uint32_t>& tokens) const {
    std::vector<CountedTurn> turns;
    size_t message = conversation_.system().empty() ? 0 : 1;
    for (const TurnId id : conversation_.turns_sent(last)) {
        const chat::Turn& turn = conversation_.turn(id);
        const uint32_t count = message < tokens.size() ? tokens[message] : 0;
        turns.push_back(
            {.id = id, .role = turn.role, .tokens = count, .pinned = turn.flags.pinned});
        ++message;
    }
    return turns;
}

void ChatSession::on(const chat::Counted& counted, TimePoint now) {
    if (file_tokens_.on(counted) || !counting_ || counted.id != counting_->id) return;
    const Counting ended = *std::exchange(counting_, std::nullopt);
    if (ended.stopped || !model_) {
        say("Stopped before the answer; C-x r asks for it.");
        return send_next(now);
    }
    const auto begun =
        static_cast<uint32_t>(ended.attempt.tokens.size() + ended.attempt.text.size());
    settle(ended.attempt,
           plan_context(counted_turns(ended.attempt.prompt, counted.tokens), counted.total + begun,
                        model_->context, reserved()),
           now);
}

void ChatSession::settle(const Attempt& attempt, const ContextPlan& plan, TimePoint now) {
    if (plan.fits()) return generate(attempt, now);
    if (plan.helps() && options_.context_policy == ContextPolicy::shift) {
        leave_out(plan, "shifted");
        return generate(attempt, now);
    }
    if (plan.helps() && options_.context_policy == ContextPolicy::compact)
        return start_compacting(plan, attempt, false, now);
    question_ = ContextQuestion{.attempt = attempt, .plan = plan};
}

// Turns stay where they are and are shown; the model gets them no more.
void ChatSession::leave_out(const ContextPlan& plan, std::string_view how) {
    for (const TurnId id : plan.leaving) {
        chat::TurnFlags flags = conversation_.turn(id).flags;
        flags.outside = true;
        conversation_.set_flags(id, flags);
        library_.flag(id, flags);
    }
    rewritten_ = "turns left the context window";
    std::string text = "Context " + std::string(how) + ": " +
                       core::counted(plan.leaving.size(), "turn") + " left it, the oldest";
    if (plan.left < plan.prompt)
        text += "; the prompt has " + core::with_commas(plan.left) + " of " +
                core::with_commas(plan.limit) + " tokens now";
    say(text + ".");
}

std::pair<uint32_t, uint64_t> ChatSession::larger_context() const {
    const uint32_t now = model_ ? model_->context : 0;
    uint32_t wanted = std::max<uint32_t>(now, 1) * 2;
    while (question_ && wanted < question_->plan.prompt + reserved() && wanted < (1U << 30))
        wanted *= 2;
    const uint64_t bytes =
        now == 0 ? 0 : model_->kv_bytes * (uint64_t{wanted} - now) / uint64_t{now};
    return {wanted, bytes};
}

void ChatSession::decide(ContextChoice choice, TimePoint now) {
    const uint32_t larger = larger_context().first;
    const ContextQuestion question = *std::exchange(question_, std::nullopt);
    switch (choice) {
        case ContextChoice::leave_out:
            leave_out(question.plan, "shifted");
            return generate(question.attempt, now);
        case ContextChoice::compact:
            return start_compacting(question.plan, question.attempt, false, now);
        case ContextChoice::enlarge:
            when_loaded_ = question.attempt;
            if (const auto trouble = set_context(larger, now)) say(*trouble, true);
            return;
        case ContextChoice::fork: return fork_without(question, now);
        case ContextChoice::cancel: break;
    }
    say("The message was not answered: its prompt has " + core::with_commas(question.plan.prompt) +
        " tokens and " + core::with_commas(question.plan.limit) +
        " fit. /compact or /ctx makes room, C-x r asks again.");
    send_next(now);
}

// The conversation stays whole; the new one goes on without its oldest turns.
void ChatSession::fork_without(const ContextQuestion& question, TimePoint now) {
    const std::vector<TurnId> line = conversation_.line(question.attempt.prompt);
    if (const auto trouble = fork(question.attempt.prompt, {})) return say(*trouble, true);
    ContextPlan plan = question.plan;
    for (TurnId& id : plan.leaving) {  // turns are numbered anew, in the order of the line
        const auto place = std::find(line.begin(), line.end(), id) - line.begin();
        id = static_cast<TurnId>(place + 1);
    }
    leave_out(plan, "shifted");
    Attempt attempt = question.attempt;
    attempt.prompt = conversation_.tip();
    generate(attempt, now);
}

std::optional<std::string> ChatSession::set_context(uint32_t tokens, TimePoint now) {
    if (busy()) return "Stop the answer first (C-c).";
    if (loaded_path_.empty()) return "No model is loaded; /model PATH loads one.";
    context_wanted_ = tokens;
    load_model(loaded_path_, {}, Asked::by_user, now);
    return std::nullopt;
}

std::optional<std::string> ChatSession::compact(uint32_t keep, bool preview, TimePoint now) {
    if (auto trouble = not_now()) return trouble;
    const chat::Usage& usage = conversation_.last_answer() != 0
                                   ? conversation_.turn(conversation_.last_answer()).usage
                                   : chat::Usage{};
    const ContextPlan plan =
        plan_keeping(counted_turns(conversation_.tip(), {}), usage.prompt + usage.generated,
                     model_->context, reserved(), keep);
    if (!plan.helps())
        return "There is nothing to sum up: " + std::to_string(keep) + " exchanges stay.";
    start_compacting(plan, std::nullopt, preview, now);
    return std::nullopt;
}

void ChatSession::start_compacting(const ContextPlan& plan, std::optional<Attempt> then,
                                   bool preview, TimePoint now) {
    ask_aside(plan.leaving.back(), kAskForSummary, kSummaryTokens,
              {.plan = plan, .then = std::move(then), .preview = preview}, now);
}

std::optional<std::string> ChatSession::name_by_model(TimePoint now) {
    if (auto trouble = not_now()) return trouble;
    if (conversation_.last_answer() == 0) return "There is nothing to name yet.";
    ask_aside(conversation_.tip(), kAskForTitle, kTitleTokens, {.title = true}, now);
    return std::nullopt;
}

// The prompt begins as those of the answers did, so that next to nothing of it is read again.
void ChatSession::ask_aside(TurnId last, std::string_view question, uint32_t most_tokens,
                            Compacting aside, TimePoint now) {
    std::vector<chat::Message> messages = conversation_.messages(last, model_->name);
    messages.push_back({.role = chat::Role::user, .text = std::string(question)});
    chat::Generate request{.id = channel_.next_id(),
                           .prompt = std::move(messages),
                           .sampling = options_.sampling,
                           .stop = options_.stop,
                           .max_tokens = std::min(most_tokens, model_->context / 4),
                           // Nobody could name these pages to have them forgotten.
                           .persist = false};
    request.sampling.temperature = 0;
    aside.id = request.id;
    aside.cancel = request.cancel;
    compacting_ = std::move(aside);
    progress_ = {.id = request.id, .phase = chat::Phase::prefill};
    progress_started_ = now;
    channel_.submit(std::move(request));
}

// The first line of what the model said, without quotes around it.
void ChatSession::named(const std::string& answer, TimePoint now) {
    std::string_view line = answer;
    line.remove_prefix(std::min(line.find_first_not_of(" \t\n\"*#"), line.size()));
    line = line.substr(0, line.find('\n'));
    line = line.substr(0, line.find_last_not_of(" \t\".*") + 1);
    const std::string title = title_from(line);
    if (title.empty()) {
        say("The model gave no title; the old one stays.");
    } else if (const auto trouble = change({.title = title})) {
        say(*trouble, true);
    }
    send_next(now);
}

void ChatSession::compacted(chat::FinishReason reason, TimePoint now) {
    const Compacting ended = *std::exchange(compacting_, std::nullopt);
    if (ended.title)
        return named(reason == chat::FinishReason::cancelled ? "" : ended.summary, now);
    const bool usable = reason != chat::FinishReason::cancelled &&
                        ended.summary.find_first_not_of(" \n\t") != std::string::npos;
    if (!usable) {
        say("There is no summary; nothing has changed.");
        if (ended.then) question_ = ContextQuestion{.attempt = *ended.then, .plan = ended.plan};
        return;
    }
    if (ended.preview) {
        say("A summary of " + core::counted(ended.plan.leaving.size(), "turn") + " would be:\n" +
            ended.summary);
        return send_next(now);
    }
    std::string system(instructions(conversation_.system()));
    if (!system.empty()) system += "\n\n";
    conversation_.set_system(system + std::string(kSummaryHead) + ended.summary);
    leave_out(ended.plan, "compacted");
    say("In their place, in front of the prompt (/system shows it):\n" + ended.summary);
    save();
    if (ended.then) return answer(*ended.then, now);
    send_next(now);
}

}  // namespace app
