#include "core/kv/disk_thread.h"

#include <poll.h>

#include <cerrno>
#include <deque>
#include <utility>

#include "core/kv/run_in_order.h"

namespace core {
namespace {

// Pages of a restore that are on their way at a time: a disk that has several requests delivers up
// to twice what it gives to one, and what came is verified meanwhile.
constexpr unsigned kReaders = 4;

std::span<std::byte> bytes_of(const PageRef& page, const PageLayout& layout) {
    return {page->data, layout.page_bytes()};
}

}  // namespace

DiskTaskId task_of(const DiskOutcome& outcome) {
    return std::visit(
        [](const auto& value) -> DiskTaskId {
            if constexpr (requires { value.id; })
                return value.id;
            else
                return 0;
        },
        outcome);
}

// What runs on the thread. Writing jobs are done page by page, so that reading never waits for more
// than one page.
class DiskThread::Worker {
  public:
    Worker(DiskThread& thread, std::string directory)
        : thread_(thread), store_(std::move(directory), thread.budget_) {}

    void run();

  private:
    using Clock = std::chrono::steady_clock;

    void take_jobs();
    void sleep() const;
    bool out_of_time();
    void do_now(DiskJob job);
    void find(const FindJob& job);
    void read(ReadJob& job);
    // True when the job is finished.
    bool advance(DiskJob& job);
    bool advance(WriteJob& job);
    // Not inlined: GCC 12 with sanitizers takes what it then sees of moving the variant for reads
    // of the alternatives that it does not hold.
    [[gnu::noinline]] void emit(DiskOutcome outcome) { thread_.outcomes_.push(std::move(outcome)); }

    DiskThread& thread_;
    DiskStore store_;
    std::deque<DiskJob> urgent_;     // somebody waits for an answer
    std::deque<DiskJob> measuring_;  // less so: the first one walks through the whole directory
    std::deque<DiskJob> background_;
    std::optional<Clock::time_point> stop_at_;

    // Of the writing job at the front.
    size_t next_page_ = 0;
    bool disk_takes_more_ = true;
    std::chrono::system_clock::time_point began_;
};

void DiskThread::Worker::run() {
    while (true) {
        take_jobs();
        if (out_of_time()) return;
        if (auto& first = urgent_.empty() ? measuring_ : urgent_; !first.empty()) {
            DiskJob job = std::move(first.front());
            first.pop_front();
            do_now(std::move(job));
        } else if (!background_.empty()) {
            if (advance(background_.front())) background_.pop_front();
        } else if (stop_at_) {
            return;
        } else {
            sleep();
        }
    }
}

// Nobody waits for what is read once the engine has ended.
void DiskThread::Worker::take_jobs() {
    thread_.jobs_.acknowledge();
    if (!stop_at_ && thread_.stopping_.load()) stop_at_ = Clock::now() + kPatience;
    while (auto job = thread_.jobs_.pop()) {
        const bool changes =
            std::holds_alternative<WriteJob>(*job) || std::holds_alternative<DropJob>(*job);
        const bool measures = std::holds_alternative<MeasureJob>(*job);
        (changes ? background_ : measures ? measuring_ : urgent_).push_back(std::move(*job));
    }
    if (!stop_at_) return;
    urgent_.clear();
    measuring_.clear();
}

bool DiskThread::Worker::out_of_time() {
    return stop_at_ && Clock::now() > *stop_at_;
}

void DiskThread::Worker::sleep() const {
    pollfd bell{.fd = thread_.jobs_.fd(), .events = POLLIN, .revents = 0};
    while (::poll(&bell, 1, -1) < 0 && errno == EINTR) {
    }
}

void DiskThread::Worker::do_now(DiskJob job) {
    if (auto* find = std::get_if<FindJob>(&job)) {
        this->find(*find);
    } else if (auto* reading = std::get_if<ReadJob>(&job)) {
        read(*reading);
    } else if (auto* measure = std::get_if<MeasureJob>(&job)) {
        emit(Measured{measure->id, store_.usage()});
    }
}

void DiskThread::Worker::find(const FindJob& job) {
    const std::span<const TokenId> line = job.line;
    Found found{
        .id = job.id,
        .pages = store_.find(job.root, job.parent, line.subspan(job.begin), job.known_rows)};
    size_t known = job.begin;
    for (const FoundPage& page : found.pages)
        known += page.rows;
    found.under_another_root = store_.is_under_another_root(job.root, line, known);
    emit(std::move(found));
}

void DiskThread::Worker::read(ReadJob& job) {
    const auto cancelled = [&] {
        return thread_.stopping_.load() || (job.cancel && job.cancel->load());
    };
    std::vector<PageFault> faults(job.pages.size(), PageFault::missing);
    const auto read = [&](size_t index) {
        const PageToRead& page = job.pages[index];
        faults[index] = store_.read(page.page, job.layout, bytes_of(page.memory, job.layout));
    };
    size_t done = 0;
    bool damaged = false;
    const auto hand_over = [&](size_t index) {
        if (cancelled()) return false;
        PageToRead& page = job.pages[index];
        if (faults[index] != PageFault::none) {
            store_.reject(page.page.address, faults[index]);
            damaged = faults[index] != PageFault::missing && faults[index] != PageFault::unreadable;
            return false;
        }
        emit(PageRead{job.id, std::move(page)});
        ++done;
        return true;
    };
    run_in_order(job.pages.size(), kReaders, read, hand_over);
    ReadEnded ended{.id = job.id, .unused = {}, .damaged = damaged};
    for (; done < job.pages.size(); ++done)
        ended.unused.push_back(std::move(job.pages[done].memory));
    emit(std::move(ended));
}

bool DiskThread::Worker::advance(DiskJob& job) {
    if (auto* write = std::get_if<WriteJob>(&job)) return advance(*write);
    if (auto* drop = std::get_if<DropJob>(&job)) {
        if (drop->lines.empty())
            store_.drop_all(drop->root);
        else
            store_.drop(drop->root, drop->lines);
        emit(JobDone{drop->id});
    }
    return true;
}

bool DiskThread::Worker::advance(WriteJob& job) {
    if (next_page_ == 0) began_ = std::chrono::system_clock::now();
    if (next_page_ < job.chain.size()) {
        ChainPage& page = job.chain[next_page_];
        const PageToWrite write{.address = page.address,
                                .ids = page.ids,
                                .page = bytes_of(page.memory, job.layout),
                                .last_use = began_ - std::chrono::nanoseconds(next_page_)};
        disk_takes_more_ = disk_takes_more_ && store_.write(write, job.layout);
        emit(PageReleased{job.id, std::move(page.memory)});
        ++next_page_;
        return false;
    }
    if (disk_takes_more_)
        for (const PageAddress& tail : job.superseded)
            store_.remove(tail);
    emit(JobDone{job.id});
    next_page_ = 0;
    disk_takes_more_ = true;
    return true;
}

DiskThread::DiskThread(std::string directory, uint64_t budget, uint32_t shortest_line)
    : budget_(budget),
      shortest_line_(shortest_line),
      thread_([this, folder = std::move(directory)]() mutable {
          Worker(*this, std::move(folder)).run();
      }) {}

void DiskThread::submit(DiskJob job) {
    jobs_.push(std::move(job));
}

DiskThread::~DiskThread() {
    stopping_.store(true);
    jobs_.push(MeasureJob{});  // wakes the thread
    thread_.join();
}

}  // namespace core
