#include "core/engine/kv_requests.h"

#include <algorithm>
#include <span>
#include <string>
#include <utility>

#include "core/base/error.h"

namespace core {

namespace {

// What rendering may take from a pass; a line of 4,000 tokens takes about as long.
constexpr auto kRenderTime = std::chrono::milliseconds(5);

}  // namespace

void KvRequests::begin(chat::Channel& channel, chat::Kv request) {
    running_.push_back({.channel = &channel, .request = std::move(request)});
}

std::vector<TokenId> KvRequests::render(const std::vector<chat::Message>& messages) const {
    std::vector<TokenId> line = model_->format.prompt(*model_->tokenizer, messages).ids;
    for (const TokenId id : line)
        if (id < 0 || static_cast<uint32_t>(id) >= model_->vocab)
            throw Error(ErrorKind::usage, "line",
                        "token " + std::to_string(id) + " is not in the vocabulary");
    return line;
}

bool KvRequests::render_until(Clock::time_point end, Running& running) const {
    const auto& wanted = running.request.lines;
    while (running.lines.size() < wanted.size()) {
        running.lines.push_back(render(wanted[running.lines.size()]));
        if (Clock::now() >= end) break;
    }
    return running.lines.size() == wanted.size();
}

bool KvRequests::ready() const {
    return std::ranges::any_of(running_, [](const Running& running) { return !running.started; });
}

void KvRequests::start(Running& running) {
    running.started = true;
    PrefixStore& store = scheduler_->store();
    const std::string& scope = running.request.scope;
    switch (running.request.action) {
        case chat::KvAction::list:
            if (running.request.lines.empty()) running.lines = store.lines(scope);
            for (const auto& line : running.lines)
                running.looks.push_back(store.look(scope, line));
            running.measure = store.measure();
            break;
        case chat::KvAction::save: running.chore = store.save(scope, running.lines); break;
        case chat::KvAction::drop: running.chore = store.drop(scope, running.lines); break;
        case chat::KvAction::prefetch: break;
    }
}

void KvRequests::advance() {
    const auto end = Clock::now() + kRenderTime;
    std::erase_if(running_, [&](Running& running) {
        return attempt(running, [&] { return advance(running, end); });
    });
}

// True when the request has ended, be it by what `step` throws.
template <class Step>
bool KvRequests::attempt(const Running& running, Step&& step) {
    try {
        return step();
    } catch (const Error& error) {
        running.channel->emit(chat::Failed{.id = running.request.id,
                                           .sentence = error.sentence(),
                                           .exit_code = static_cast<int>(error.kind())});
        return true;
    }
}

bool KvRequests::advance(Running& running, Clock::time_point end) {
    if (running.request.cancel->load()) return abandon(running);
    if (!running.started) {
        if (!render_until(end, running)) return false;
        start(running);
    }
    return follow(running);
}

bool KvRequests::follow(Running& running) {
    if (running.request.action == chat::KvAction::prefetch) return advance_prefetch(running);
    const bool looking = std::ranges::any_of(
        running.looks, [](const auto& look) { return look != nullptr && !look->done; });
    if (looking || (running.measure && !running.measure->done) ||
        (running.chore && !running.chore->done()))
        return false;
    end(running);
    return true;
}

bool KvRequests::advance_prefetch(Running& running) {
    const std::string& scope = running.request.scope;
    while (true) {
        if (running.restore) {
            running.damaged = running.damaged || running.restore->damaged;
            running.channel->emit(
                chat::Progress{.id = running.request.id,
                               .phase = chat::Phase::restoring,
                               .done = running.restored + running.restore->restored,
                               .total = running.restored + running.restore->found,
                               .reason = running.damaged ? std::string(kDamaged) : ""});
            if (!running.restore->done) return false;
            running.restored += running.restore->restored;
            running.restore.reset();
        }
        if (running.next_line == running.lines.size()) break;
        running.restore = scheduler_->store().restore(scope, running.lines[running.next_line++]);
        if (running.restore) return false;
    }
    end(running);
    return true;
}

void KvRequests::cancel(const chat::Channel* channel) {
    std::erase_if(running_, [&](Running& running) {
        const bool goes = channel == nullptr || running.channel == channel;
        return goes && attempt(running, [&] { return abandon(running); });
    });
}

bool KvRequests::abandon(Running& running) {
    const chat::KvAction action = running.request.action;
    const bool changes = action == chat::KvAction::save || action == chat::KvAction::drop;
    if (changes && !running.started) {
        render_until(Clock::time_point::max(), running);
        start(running);
    }
    end(running);
    return true;
}

void KvRequests::end(const Running& running) const {
    if (running.request.action == chat::KvAction::list)
        list(running);
    else
        running.channel->emit(chat::Done{.id = running.request.id});
}

void KvRequests::list(const Running& running) const {
    PrefixStore& store = scheduler_->store();
    chat::KvListed listed{.id = running.request.id,
                          .entries = {},
                          .memory_bytes = model_->pages->bytes_in_use(),
                          .memory_budget = model_->kv_budget,
                          .disk_budget = store.disk_budget(),
                          .memory_pages = static_cast<uint32_t>(model_->pages->pages_in_use())};
    if (running.measure) {
        listed.disk_bytes = running.measure->usage.bytes;
        listed.disk_pages = static_cast<uint32_t>(running.measure->usage.pages);
    }
    const auto seconds = [](double amount, double rate) { return rate > 0 ? amount / rate : 0.0; };
    for (size_t i = 0; i < running.lines.size(); ++i) {
        chat::KvEntry entry{.tokens = static_cast<uint32_t>(running.lines[i].size())};
        entry.resident = store.resident(running.request.scope, running.lines[i]);
        const DiskLook* look = i < running.looks.size() ? running.looks[i].get() : nullptr;
        if (look != nullptr && look->tokens > entry.resident) {
            entry.on_disk = look->tokens - entry.resident;
            entry.disk_bytes = look->bytes;
        }
        entry.made_otherwise = look != nullptr && look->made_otherwise;
        entry.restore_seconds =
            seconds(static_cast<double>(entry.disk_bytes), store.bytes_per_second());
        entry.reread_seconds =
            seconds(entry.tokens - entry.resident - entry.on_disk, scheduler_->reading_rate());
        listed.entries.push_back(entry);
    }
    running.channel->emit(std::move(listed));
}

}  // namespace core
