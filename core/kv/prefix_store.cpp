#include "core/kv/prefix_store.h"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "core/base/error.h"

namespace core {
namespace {

using Clock = std::chrono::steady_clock;

// The weight of the newest restore in the rate that is expected of the next one.
constexpr double kNewest = 0.5;

std::span<const TokenId> without_last(std::span<const TokenId> tokens) {
    return tokens.first(tokens.empty() ? 0 : tokens.size() - 1);
}

}  // namespace

PrefixStore::PrefixStore(PagePool& pool, const CacheIdentity& identity, DiskThread* disk)
    : pool_(&pool), disk_(disk), tree_(identity) {}

PrefixStore::~PrefixStore() = default;

Sequence PrefixStore::longest_prefix(std::string_view scope, std::span<const TokenId> tokens) {
    tokens = without_last(tokens);
    const PageTree::Match match = tree_.match(scope, tokens);
    std::vector<PageRef> pages;
    pages.reserve(match.pages.size() + 1);
    for (const PageTree::Node* node : match.pages)
        pages.push_back(node->page);
    // Rows that another branch wrote behind the ones that agree are garbage here; the page is
    // copied before anything is written over them.
    if (match.partial != nullptr) pages.push_back(match.partial->page);
    tree_.touch(match.partial != nullptr ? match.partial : match.last);
    return {*pool_, std::move(pages), tokens.first(match.tokens())};
}

std::shared_ptr<Restore> PrefixStore::restore(std::string_view scope,
                                              std::span<const TokenId> tokens) {
    tokens = without_last(tokens);
    if (disk_ == nullptr || tokens.empty()) return nullptr;
    const PageTree::Match match = tree_.match(scope, tokens);
    if (match.tokens() == tokens.size()) return nullptr;
    auto restore = std::make_shared<Restore>();
    restore->begin = static_cast<uint32_t>(match.pages.size()) * kPagePositions;
    for (const PageTree::Node* node : match.pages)
        restore->pinned.push_back(node->page);
    tasks_.emplace(find_beyond(scope, match, tokens), std::weak_ptr(restore));
    return restore;
}

// Asks the disk for what follows the pages that memory has.
DiskTaskId PrefixStore::find_beyond(std::string_view scope, const PageTree::Match& match,
                                    std::span<const TokenId> line) {
    const DiskTaskId id = disk_->next_id();
    disk_->submit(FindJob{.id = id,
                          .root = tree_.root(scope)->name,
                          .parent = match.last->name,
                          .line = {line.begin(), line.end()},
                          .begin = match.pages.size() * kPagePositions,
                          .known_rows = match.rows});
    return id;
}

void PrefixStore::keep(std::string_view scope, const Sequence& sequence, Keep where) {
    const bool persist = where != Keep::in_memory;
    std::vector<PageAddress> superseded;
    const auto remember = [&](const PageTree::Node& tail) {
        superseded.push_back(address_of(tail));
    };
    PageTree::Node* node = tree_.root(scope);
    std::span<const TokenId> tokens = sequence.tokens();
    for (size_t page = 0; !tokens.empty(); ++page) {
        const auto ids = tokens.first(std::min<size_t>(tokens.size(), kPagePositions));
        PageTree::Node* next = tree_.add(node, ids, sequence.pages()[page], persist, remember);
        if (next == nullptr) break;
        node = next;
        tokens = tokens.subspan(ids.size());
    }
    if (node->parent == nullptr) return;
    tree_.touch(node);
    if (where == Keep::on_disk && is_worth_a_file(sequence.length()))
        write(node, std::move(superseded), nullptr);
}

bool PrefixStore::evict() {
    return tree_.evict();
}

PageRef PrefixStore::allocate() {
    while (true) {
        if (PageRef page = pool_->try_allocate()) return page;
        if (!tree_.evict()) return {};
    }
}

// The whole line, so that what another process or the budget has removed is written again, and what
// is there counts as used.
void PrefixStore::write(PageTree::Node* last, std::vector<PageAddress> superseded,
                        std::shared_ptr<DiskChore> chore) {
    if (disk_ == nullptr) return;
    WriteJob job{.id = disk_->next_id(),
                 .layout = pool_->layout(),
                 .chain = {},
                 .superseded = std::move(superseded)};
    for (const PageTree::Node* node = last; node->parent != nullptr; node = node->parent)
        job.chain.push_back({.address = address_of(*node), .ids = node->ids, .memory = node->page});
    std::ranges::reverse(job.chain);
    pages_in_flight_ += job.chain.size();
    if (chore == nullptr) chore = std::make_shared<DiskChore>();
    ++chore->remaining;
    tasks_.emplace(job.id, std::move(chore));
    disk_->submit(std::move(job));
}

bool PrefixStore::poll() {
    if (disk_ == nullptr) return false;
    disk_->acknowledge();
    bool any = false;
    while (auto outcome = disk_->poll()) {
        any = true;
        // Of a store that is gone: its pages are released here and now.
        if (!tasks_.contains(task_of(*outcome))) continue;
        std::visit([this](auto& value) { take(value); }, *outcome);
    }
    for (ReadJob& job : std::exchange(waiting_, {}))
        begin_reading(std::move(job));
    return any;
}

// The task, if it is of this kind and somebody still wants it.
template <class T>
std::shared_ptr<T> PrefixStore::task(DiskTaskId id) {
    const auto entry = tasks_.find(id);
    if (entry == tasks_.end()) return nullptr;
    if constexpr (std::is_same_v<T, Restore>) {
        const auto* weak = std::get_if<std::weak_ptr<Restore>>(&entry->second);
        return weak == nullptr ? nullptr : weak->lock();
    } else {
        const auto* shared = std::get_if<std::shared_ptr<T>>(&entry->second);
        return shared == nullptr ? nullptr : *shared;
    }
}

void PrefixStore::take(Found& found) {
    uint32_t tokens = 0;
    for (const FoundPage& page : found.pages)
        tokens += page.rows;
    if (const auto look = task<DiskLook>(found.id)) {
        look->done = true;
        look->tokens = look->begin + tokens;
        look->bytes = found.pages.size() * file_bytes();
        look->made_otherwise = found.under_another_root;
        tasks_.erase(found.id);
    } else if (const auto restore = task<Restore>(found.id)) {
        restore->found = tokens;
        ReadJob job{
            .id = found.id, .layout = pool_->layout(), .pages = {}, .cancel = restore->cancel};
        for (FoundPage& page : found.pages)
            job.pages.push_back({.page = std::move(page), .memory = {}});
        begin_reading(std::move(job));
    } else {
        tasks_.erase(found.id);
    }
}

// As much as there is room for: what is in use cannot go. What is being written can, soon.
void PrefixStore::begin_reading(ReadJob job) {
    for (size_t i = 0; i < job.pages.size() && !job.cancel->load(); ++i) {
        PageRef& memory = job.pages[i].memory;
        if (memory == nullptr) memory = allocate();
        if (memory != nullptr) continue;
        if (writing()) return waiting_.push_back(std::move(job));
        job.pages.resize(i);
    }
    if (job.pages.empty() || job.cancel->load())
        finish(job.id);
    else
        disk_->submit(std::move(job));
}

void PrefixStore::take(PageRead& read) {
    const auto restore = task<Restore>(read.id);
    if (restore == nullptr) return;
    const PageAddress& address = read.page.page.address;
    PageTree::Node* parent = tree_.find(address.parent);
    if (parent == nullptr) return;  // dropped meanwhile
    const PageTree::Node* node = tree_.add(parent, read.page.page.ids, read.page.memory, true);
    if (node == nullptr) return;
    restore->pinned.push_back(node->page);
    restore->restored += read.page.page.rows;
    restore->bytes += file_bytes();
}

void PrefixStore::take(ReadEnded& ended) {
    const auto restore = task<Restore>(ended.id);
    finish(ended.id);
    if (restore != nullptr) restore->damaged = ended.damaged;
    if (restore == nullptr || restore->bytes == 0 || restore->seconds <= 0) return;
    const double rate = static_cast<double>(restore->bytes) / restore->seconds;
    const bool first = bytes_per_second_ == 0;
    bytes_per_second_ = first ? rate : kNewest * rate + (1 - kNewest) * bytes_per_second_;
}

void PrefixStore::finish(DiskTaskId id) {
    if (const auto restore = task<Restore>(id)) {
        restore->seconds = std::chrono::duration<double>(Clock::now() - restore->started).count();
        restore->done = true;
    }
    tasks_.erase(id);
}

void PrefixStore::take(PageReleased& released) {
    released.memory.reset();
    --pages_in_flight_;
}

void PrefixStore::take(JobDone& done) {
    if (const auto chore = task<DiskChore>(done.id)) --chore->remaining;
    tasks_.erase(done.id);
}

void PrefixStore::take(Measured& measured) {
    if (const auto measure = task<DiskMeasure>(measured.id))
        *measure = {.done = true, .usage = measured.usage};
    tasks_.erase(measured.id);
}

uint32_t PrefixStore::resident(std::string_view scope, std::span<const TokenId> tokens) {
    return tree_.match(scope, tokens).tokens();
}

std::shared_ptr<DiskLook> PrefixStore::look(std::string_view scope,
                                            std::span<const TokenId> tokens) {
    if (disk_ == nullptr) return nullptr;
    const PageTree::Match match = tree_.match(scope, tokens);
    auto look = std::make_shared<DiskLook>();
    look->begin = static_cast<uint32_t>(match.pages.size()) * kPagePositions;
    tasks_.emplace(find_beyond(scope, match, tokens), look);
    return look;
}

std::shared_ptr<DiskMeasure> PrefixStore::measure() {
    if (disk_ == nullptr) return nullptr;
    auto measure = std::make_shared<DiskMeasure>();
    const DiskTaskId id = disk_->next_id();
    disk_->submit(MeasureJob{.id = id});
    tasks_.emplace(id, measure);
    return measure;
}

std::shared_ptr<DiskChore> PrefixStore::save(std::string_view scope,
                                             std::span<const std::vector<TokenId>> lines) {
    if (disk_ == nullptr) return nullptr;
    auto chore = std::make_shared<DiskChore>();
    const auto save_to = [&](PageTree::Node* node) {
        while (node != nullptr && node->parent != nullptr && !node->persist)
            node = node->parent;
        if (node == nullptr || node->parent == nullptr) return;
        write(node, {}, chore);
    };
    for (const std::vector<TokenId>& line : lines) {
        const PageTree::Match match = tree_.match(scope, line);
        const bool whole = match.partial != nullptr && match.partial->ids.size() == match.rows;
        save_to(whole ? match.partial : match.last);
    }
    if (lines.empty())
        tree_.for_each_leaf(scope, [&](PageTree::Node& leaf) {
            if (is_worth_a_file(line_of(leaf).size())) save_to(&leaf);
        });
    return chore;
}

std::shared_ptr<DiskChore> PrefixStore::drop(std::string_view scope,
                                             std::span<const std::vector<TokenId>> lines) {
    for (const std::vector<TokenId>& line : lines)
        tree_.drop(scope, line);
    if (lines.empty()) tree_.drop_all(scope);
    if (disk_ == nullptr) return nullptr;
    auto chore = std::make_shared<DiskChore>(DiskChore{.remaining = 1});
    const DiskTaskId id = disk_->next_id();
    disk_->submit(
        DropJob{.id = id, .root = tree_.root(scope)->name, .lines = {lines.begin(), lines.end()}});
    tasks_.emplace(id, chore);
    return chore;
}

std::vector<std::vector<TokenId>> PrefixStore::lines(std::string_view scope) {
    std::vector<std::vector<TokenId>> lines;
    tree_.for_each_leaf(scope, [&](const PageTree::Node& leaf) { lines.push_back(line_of(leaf)); });
    return lines;
}

}  // namespace core
