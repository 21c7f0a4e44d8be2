#include "core/engine/kv_requests.h"

#include <algorithm>
#include <span>
#include <string>
#include <utility>

#include "core/base/error.h"

namespace core {

KvRequests::Lines KvRequests::lines_of(const chat::Kv& request) const {
    Lines lines;
    for (const std::vector<chat::Message>& messages : request.lines) {
        lines.push_back(model_->format.prompt(*model_->tokenizer, messages).ids);
        for (const TokenId id : lines.back())
            if (id < 0 || static_cast<uint32_t>(id) >= model_->vocab)
                throw Error(ErrorKind::usage, "line",
                            "token " + std::to_string(id) + " is not in the vocabulary");
    }
    return lines;
}

void KvRequests::begin(chat::Channel& channel, chat::Kv request) {
    PrefixStore& store = scheduler_->store();
    Running running{.channel = &channel, .request = std::move(request), .lines = {}};
    running.lines = lines_of(running.request);
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
    if (!advance(running)) running_.push_back(std::move(running));
}

void KvRequests::advance() {
    std::erase_if(running_, [this](Running& running) { return advance(running); });
}

bool KvRequests::advance(Running& running) {
    if (running.request.cancel->load()) {
        end(running);
        return true;
    }
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
            running.channel->emit(
                chat::Progress{.id = running.request.id,
                               .phase = chat::Phase::restoring,
                               .done = running.restored + running.restore->restored,
                               .total = running.restored + running.restore->found});
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
    std::erase_if(running_, [&](const Running& running) {
        const bool goes = channel == nullptr || running.channel == channel;
        if (goes) end(running);
        return goes;
    });
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
        entry.restore_seconds =
            seconds(static_cast<double>(entry.disk_bytes), store.bytes_per_second());
        entry.reread_seconds =
            seconds(entry.tokens - entry.resident - entry.on_disk, scheduler_->reading_rate());
        listed.entries.push_back(entry);
    }
    running.channel->emit(std::move(listed));
}

}  // namespace core
