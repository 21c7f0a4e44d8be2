// The part of ChatSession that deals with what is kept: conversations in the store, pages in the
// KV cache.
#include <algorithm>
#include <limits>
#include <utility>

#include "app/session/chat_session.h"
#include "app/session/title.h"
#include "app/settings/parameters.h"
#include "core/base/units.h"
#include "core/base/utf8.h"

namespace app {
namespace {

// Fewer tokens are read in a moment, whatever the reason.
constexpr uint32_t kWorthTelling = 64;
// A beginning that all prompts have comes from the disk too; that is no news.
constexpr uint64_t kFewTokens = 16;

std::string restored_text(uint64_t tokens, double seconds) {
    return "restored " + core::with_commas(tokens) + " tokens in " + core::human_seconds(seconds);
}

}  // namespace

// --- saving -----------------------------------------------------------------------------------

core::ConversationHead ChatSession::head(const chat::Prompt& first) const {
    core::ConversationHead head{.title = title(),
                                .system = conversation_.system(),
                                .sampling = options_.sampling,
                                .fixed_seed = options_.fixed_seed,
                                .stop = options_.stop,
                                .tip = conversation_.tip()};
    if (head.title.empty() && options_.titles) head.title = title_from(first);
    if (model_)
        head.model = {.name = model_->name,
                      .path = loaded_path_,
                      .family = model_->family,
                      .bytes = model_->weight_bytes};
    return head;
}

std::string ChatSession::title() const {
    if (!title_.empty() || conversation_.empty() || !options_.titles) return title_;
    const chat::Turn& first = conversation_.turn(1);
    return title_from({.text = first.text, .files = first.files});
}

size_t ChatSession::running_tokens() const {
    size_t tokens = 0;
    for (const chat::TurnId answer : running_->answers)
        tokens += conversation_.turn(answer).tokens.size();
    return tokens;
}

void ChatSession::save() {
    if (running_) running_->tokens_saved = running_tokens();
    saver_.save(conversation_, head({}), now_);
}

std::optional<TimePoint> ChatSession::next_wakeup() const {
    if (!running_) return std::nullopt;
    return running_tokens() > running_->tokens_saved ? saver_.partial_due() : std::nullopt;
}

void ChatSession::tick(TimePoint now) {
    now_ = now;
    if (const auto due = next_wakeup(); due && now >= *due) save();
}

void ChatSession::end(TimePoint now) {
    now_ = now;
    save_waiting_pages();
    if (!running_) return;
    running_->cancel->store(true);
    for (const chat::TurnId answer : running_->answers) {
        const chat::Turn& turn = conversation_.turn(answer);
        if (turn.state == chat::TurnState::streaming)
            conversation_.finish(
                answer, {.reason = chat::FinishReason::cancelled, .seed = turn.sampling.seed});
    }
    running_.reset();
    save();
}

void ChatSession::on(const core::StoreOpened& opened, TimePoint /*now*/) {
    saver_.on(opened);
    if (opened.access != core::StoreAccess::none) library_.list();
    if (opened.other_process && opened.access == core::StoreAccess::read_only) {
        say(opened.sentence + " Continue here read-only, or with a temporary one? r read-only · " +
            "t temporary");
        offer_ = Offer::read_only_or_temporary;
    } else if (!opened.sentence.empty()) {
        say(opened.sentence, opened.access == core::StoreAccess::none);
    }
}

void ChatSession::on(const core::Saved& saved, TimePoint now) {
    if (saver_.on(saved)) say("Saving works again; nothing of this chat is missing.");
    if (std::exchange(listed_id_, saver_.conversation_id()) != saver_.conversation_id())
        library_.list();
    if (sending_ && saved.id == sending_->id) sent(now);
}

void ChatSession::on(const core::StoreFailed& failed, TimePoint now) {
    if (opening_ && failed.id == opening_->id) {
        const bool at_start = opening_->at_start;
        const bool told = !opening_->quiet || failed.trouble != core::StoreTrouble::not_found;
        opening_.reset();
        if (told) say(failed.sentence, failed.trouble == core::StoreTrouble::damaged);
        if (at_start) return start(now);
        return send_next(now);
    }
    if (line_states_.on(failed)) return;
    if (kv_reading_.erase(failed.id) > 0) return say(failed.sentence, true);
    // Where nothing can be saved at all, that was told when the store opened.
    if (saver_.on(failed) && saver_.saves()) say(failed.sentence, true);
    if (library_.on(failed)) say(failed.sentence, true);
    if (sending_ && failed.id == sending_->id) sent(now);
}

// --- opening ----------------------------------------------------------------------------------

void ChatSession::open(std::string prefix) {
    open(std::move(prefix), false);
}

void ChatSession::open_last() {
    open({}, true);
}

void ChatSession::open(std::string prefix, bool quiet) {
    std::transform(prefix.begin(), prefix.end(), prefix.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    const bool at_start = !model_ && !loading_;
    if (saver_.store() == nullptr) {
        say("Nothing is saved in a temporary session.", true);
        if (at_start) start(now_);
        return;
    }
    opening_ = Opening{.id = saver_.next_request(),
                       .ref = saver_.next_ref(),
                       .at_start = at_start,
                       .quiet = quiet};
    saver_.store()->requests.push(core::LoadConversation{
        .id = opening_->id, .conversation = opening_->ref, .prefix = std::move(prefix)});
}

std::optional<std::string> ChatSession::unload() {
    if (busy()) return "Stop the answer first (C-c).";
    if (!model_) return "No model is loaded.";
    save_waiting_pages();
    unloading_ = channel_.next_id();
    channel_.submit(chat::UnloadModel{.id = unloading_});
    return std::nullopt;
}

// Taken over, not copied: it may be long.
void ChatSession::on(core::Loaded& loaded, TimePoint now) {
    if (!opening_ || loaded.id != opening_->id) return;
    adopt(*std::exchange(opening_, std::nullopt), std::move(loaded.conversation), now);
}

void ChatSession::on(const core::LineRead& read, TimePoint /*now*/) {
    if (!ask_kv_of(read)) line_states_.on(read);
}

void ChatSession::on(const core::PagesFound& found, TimePoint /*now*/) {
    line_states_.on(found);
}

void ChatSession::adopt(const Opening& opened, core::StoredConversation stored, TimePoint now) {
    conversation_ = std::move(stored.conversation);
    question_.reset();
    ++conversation_number_;
    saver_.adopt(opened.ref, stored.head.id, conversation_.size());
    residency_.forget();
    title_ = stored.head.title;
    redo_.clear();
    removed_.clear();
    bookmarks_ = std::move(stored.head.bookmarks);
    // What was told before a conversation was there stays above it.
    std::erase_if(notices_, [](const Notice& notice) { return notice.after != 0; });
    if (options_.system_chosen) conversation_.set_system(options_.system);
    take_parameters(stored.head);
    if (const chat::TurnId answer = conversation_.last_answer(); answer != 0) {
        const chat::Turn& turn = conversation_.turn(answer);
        context_used_ = turn.usage.prompt + turn.usage.generated;
        if (turn.cut_off && answer == conversation_.tip()) {
            say("Last session ended unexpectedly during a reply (" +
                core::with_commas(turn.tokens.size()) + " tokens kept). c continue · r regenerate");
            offer_ = Offer::continue_or_regenerate;
        }
    }
    if (const chat::TurnId tip = conversation_.tip();
        tip != 0 && conversation_.turn(tip).role == chat::Role::user)
        say("The last message has no answer; C-x r asks for one.");
    prefetch_wanted_ = true;
    if (opened.at_start) {
        const bool own = !options_.model_chosen && !stored.head.model.path.empty();
        const std::string& path = own ? stored.head.model.path : options_.model_path;
        load_model(path, path != options_.model_path ? options_.model_path : "",
                   options_.model_chosen ? Asked::by_user : Asked::by_itself, now);
    } else if (model_) {
        prefetch_wanted_ = false;
        saved_state_news_ = true;
        ask_kv(chat::KvAction::prefetch, {conversation_.tip()}, false);
        ask_residency();
    }
    send_next(now);
}

// As they were in the conversation; what a flag said is put above them by ChatSettings.
void ChatSession::take_parameters(const core::ConversationHead& stored) {
    options_.fixed_seed = stored.fixed_seed;
    options_.stop = stored.stop.empty() ? usual_stop_ : stored.stop;
    options_.sampling = stored.sampling;
    bias_model_ = stored.model.name;
    drop_foreign_biases();
}

// Another model's tokens have other numbers.
void ChatSession::drop_foreign_biases() {
    auto& biases = options_.sampling.logit_bias;
    if (!model_ || biases.empty()) return;
    const bool known = std::ranges::all_of(biases, [this](const auto& bias) {
        return model_->vocab == 0 || static_cast<uint32_t>(bias.first) < model_->vocab;
    });
    if (known && (bias_model_.empty() || bias_model_ == model_->name)) return;
    say("The biases of tokens are dropped: " + bias_text(options_.sampling) + " were set for " +
        (bias_model_.empty() ? "another model" : core::sanitize(bias_model_)) +
        ", whose tokens have other numbers. /bias sets new ones.");
    biases.clear();
}

// --- the KV cache -----------------------------------------------------------------------------

// Before the engine goes, or its memory. What was asked of it is done before it ends, so that
// nobody waits for the answer.
void ChatSession::save_waiting_pages() {
    if (model_ && saver_.keeping().pages == KeepPages::at_the_end)
        channel_.submit(chat::Kv{.id = channel_.next_id(), .action = chat::KvAction::save});
}

void ChatSession::ask_kv(chat::KvAction action, const std::vector<chat::TurnId>& ends,
                         bool asked_for) {
    chat::Kv request{.id = channel_.next_id(), .action = action};
    for (const chat::TurnId end : ends)
        request.lines.push_back(conversation_.messages(end, model_->name));
    kv_requests_[request.id] = {.action = action, .asked_for = asked_for, .started = now_};
    channel_.submit(std::move(request));
}

void ChatSession::ask_residency() {
    line_states_.cache_changed();
    if (!model_ || running_ || conversation_.empty()) return;
    channel_.submit(residency_.question(conversation_, model_->name, channel_.next_id()));
}

std::optional<std::string> ChatSession::manage_kv(chat::KvAction action) {
    if (!model_) return "No model is loaded; /model PATH loads one.";
    if (action == chat::KvAction::list) {
        chat::Kv question = residency_.question(conversation_, model_->name, channel_.next_id());
        reported_listing_ = question.id;
        channel_.submit(std::move(question));
        return std::nullopt;
    }
    if (conversation_.empty()) return "There is no conversation yet.";
    if (action == chat::KvAction::drop && busy()) return "Stop the answer first (C-c).";
    if (action == chat::KvAction::save && saver_.temporary())
        return "A temporary chat keeps nothing on the disk.";
    if (action == chat::KvAction::save && !saver_.keeping().token_ids)
        return "Nothing is written: privacy.save_tokens is off, and pages contain the ids.";
    ask_kv(action,
           action == chat::KvAction::drop ? conversation_.leaves()
                                          : std::vector<chat::TurnId>{conversation_.tip()},
           true);
    return std::nullopt;
}

void ChatSession::on(const chat::KvListed& listed, TimePoint /*now*/) {
    if (const auto asked = kv_requests_.extract(listed.id); !asked.empty()) {
        const chat::KvEntry entry =
            listed.entries.empty() ? chat::KvEntry{} : listed.entries.front();
        return say(asked.mapped().of + ": " + residency_row(entry));
    }
    if (line_states_.on(listed) || !residency_.on(listed)) return;
    if (std::exchange(saved_state_news_, false)) tell_saved_state();
    if (std::exchange(reread_wanted_, false)) tell_reread();
    if (listed.id != reported_listing_) return;
    reported_listing_ = 0;
    say(residency_.report());
}

void ChatSession::tell_kv(const KvRequest& ended) {
    const uint64_t restored = ended.progress.done;
    const double seconds = std::chrono::duration<double>(now_ - ended.started).count();
    if (ended.action == chat::KvAction::prefetch && !ended.progress.reason.empty())
        say("Saved state for this branch failed its check and was dropped; the next answer "
            "re-reads "
            "it.");
    const uint64_t least = ended.asked_for ? 1 : kFewTokens;
    if (ended.action == chat::KvAction::prefetch && restored >= least) {
        say((ended.of.empty() ? "" : ended.of + ": ") + restored_text(restored, seconds));
    } else if (ended.asked_for) {
        const std::string of = ended.of.empty() ? "" : ended.of + ": ";
        switch (ended.action) {
            case chat::KvAction::prefetch: say(of + "There was nothing to restore."); break;
            case chat::KvAction::save:
                say(of + "What was read of this line is on the disk.");
                break;
            case chat::KvAction::drop:
                say(of + "Dropped; the next answer reads it all again.");
                break;
            case chat::KvAction::list: break;
        }
    }
    ask_residency();
}

std::optional<double> ChatSession::prefetched() const {
    for (const auto& [id, request] : kv_requests_)
        if (request.action == chat::KvAction::prefetch && request.progress.total > 0)
            return static_cast<double>(request.progress.done) /
                   static_cast<double>(request.progress.total);
    return std::nullopt;
}

// --- reading again ----------------------------------------------------------------------------

// The last answer up to here; null: there is none.
const chat::Turn* ChatSession::answered_before(chat::TurnId id) const {
    for (; id != 0; id = conversation_.turn(id).parent) {
        const chat::Turn& turn = conversation_.turn(id);
        if (turn.role == chat::Role::assistant && !turn.text.empty()) return &turn;
    }
    return nullptr;
}

// Another model's pages under the same ids are no saved state of this conversation.
void ChatSession::tell_saved_state() {
    const chat::Turn* said = answered_before(conversation_.tip());
    const chat::KvEntry* entry = residency_.current();
    if (said == nullptr || entry == nullptr || said->model != model_->name) return;
    if (std::string text = made_otherwise_text(*entry); !text.empty()) say(std::move(text));
}

// Where the past cannot stay the same, its pages are of no use.
void ChatSession::compare_with_past(chat::TurnId prompt, Running& running) {
    const chat::Turn* last = answered_before(prompt);
    if (last == nullptr) return;
    const chat::Turn& said = *last;
    running.reason = std::exchange(rewritten_, {});
    running.past = said.usage.prompt + said.usage.generated;
    if (said.model != model_->name) {
        running.reason = "another model answered before (" + said.model + ")";
        running.past = std::numeric_limits<uint32_t>::max();  // its tokens are others
    } else if (*said.system != conversation_.system()) {
        running.reason = "the system prompt changed";
    } else if (!said.format.empty() && said.format != model_->format) {
        running.reason = "the chat template changed (" + said.format + " before)";
    } else if (residency_.current() != nullptr && residency_.current()->made_otherwise) {
        running.reason = kMadeOtherwise;
    }
}

std::string ChatSession::reread_reason() const {
    if (!running_ || !running_->reading || running_->reason.empty()) return {};
    const uint64_t past = std::min<uint64_t>(running_->past, progress_.total);
    if (past < progress_from_ + kWorthTelling) return {};
    return "re-reading " + core::with_commas(past - progress_from_) +
           " tokens: " + running_->reason;
}

void ChatSession::tell_reading(const Running& ended, const chat::Usage& usage) {
    const chat::TurnId prompt = conversation_.turn(ended.answers.front()).parent;
    if (usage.restored > 0) say_after(prompt, restored_text(usage.restored, usage.restore_seconds));
    const uint32_t past = std::min(ended.past, usage.prompt);
    if (past < usage.reused + kWorthTelling) return;
    std::string reason = ended.reason;
    if (reason.empty()) reason = core::sanitize(progress_.reason);
    if (reason.empty()) reason = "the cache did not have them any more";
    say_after(prompt, "re-read " + core::with_commas(past - usage.reused) + " tokens: " + reason);
}

}  // namespace app
