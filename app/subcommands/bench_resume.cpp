#include "app/subcommands/bench_resume.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "app/subcommands/bench_rig.h"
#include "core/base/error.h"
#include "core/base/paths.h"
#include "core/chat/channel.h"
#include "core/engine/engine.h"

namespace app {
namespace {

using core::Error;
using core::ErrorKind;
using core::TokenId;
using Clock = std::chrono::steady_clock;

// More than any conversation of a bench takes.
constexpr uint64_t kDiskBudget = uint64_t{64} << 30U;

// A folder for the pages of one bench, on the disk where the cache is.
class PageFolder {
  public:
    PageFolder() {
        std::string name = core::make_private_folder(core::cache_folder()) + "/bench-XXXXXX";
        if (::mkdtemp(name.data()) == nullptr)
            throw Error(ErrorKind::storage, name, "cannot be made", "free some space");
        path_ = std::move(name);
    }
    ~PageFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    PageFolder(const PageFolder&) = delete;
    PageFolder& operator=(const PageFolder&) = delete;

    const std::string& path() const { return path_; }

    // Lets the system forget the contents of the files, so that the next reader needs the disk.
    void drop_from_memory() const {
        for_each_file([](int file) {
            (void)::fdatasync(file);  // what is not on the disk yet would stay
            (void)::posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
            return uint64_t{0};
        });
    }

    // Bytes per second of reading all files from end to end.
    double read_plainly() const {
        std::vector<std::byte> buffer(size_t{1} << 20);
        const Clock::time_point start = Clock::now();
        const uint64_t bytes = for_each_file([&](int file) {
            uint64_t read = 0;
            for (ssize_t n = 1; n > 0; read += static_cast<uint64_t>(n)) {
                n = ::read(file, buffer.data(), buffer.size());
                if (n < 0) break;
            }
            return read;
        });
        return static_cast<double>(bytes) / seconds_since(start);
    }

  private:
    template <class Body>
    uint64_t for_each_file(Body&& body) const {
        uint64_t sum = 0;
        for (const auto& entry : std::filesystem::recursive_directory_iterator(path_)) {
            if (!entry.is_regular_file()) continue;
            const int file = ::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
            if (file < 0) continue;
            sum += body(file);
            ::close(file);
        }
        return sum;
    }

    std::string path_;
};

// An engine with the model loaded, and the way to ask it.
class Host {
  public:
    Host(const BenchOptions& options, const std::string& folder)
        : engine_({.threads = options.threads,
                   .isa = options.isa,
                   .kv_directory = folder,
                   .kv_disk_bytes = kDiskBudget}) {
        engine_.attach(channel_);
        const auto kv = core::kv_type_from_name(options.kv);
        ready = ask<chat::ModelReady>(
            chat::LoadModel{.path = options.path,
                            .context = options.prompt + 64,
                            .kv_type = kv == core::KvType::f32  ? chat::KvTypeChoice::f32
                                       : kv == core::KvType::q8 ? chat::KvTypeChoice::q8
                                                                : chat::KvTypeChoice::f16});
    }
    ~Host() { engine_.detach(channel_); }
    Host(const Host&) = delete;
    Host& operator=(const Host&) = delete;

    // Sends a request and waits for the event that ends it.
    template <class Ending, class Request>
    Ending ask(Request request) {
        request.id = channel_.next_id();
        const chat::RequestId id = request.id;
        channel_.submit(std::move(request));
        while (true) {
            chat::Event event = next_event();
            if (chat::request_of(event) != id || !chat::is_terminal(event)) continue;
            if (const auto* failed = std::get_if<chat::Failed>(&event))
                throw Error(ErrorKind::backend, "", failed->sentence);
            return std::get<Ending>(std::move(event));
        }
    }

    // The usage of the conversation's next token.
    chat::Usage first_token(const std::vector<TokenId>& conversation) {
        return ask<chat::Finished>(chat::Generate{.prompt = conversation,
                                                  .sampling = {.temperature = 0},
                                                  .max_tokens = 1,
                                                  .detail = chat::Detail::text})
            .usage;
    }

    chat::ModelReady ready;

  private:
    chat::Event next_event() {
        while (true) {
            if (auto event = channel_.poll_event()) return *std::move(event);
            pollfd entry{.fd = channel_.event_fd(), .events = POLLIN, .revents = 0};
            (void)::poll(&entry, 1, -1);
            channel_.acknowledge_events();
        }
    }

    chat::Channel channel_;
    core::Engine engine_;
};

// One start on a folder that holds the conversation.
struct Resumption {
    chat::Usage usage;
    double disk = 0;  // bytes per second of plain reading, just before

    double read_rate() const {
        return static_cast<double>(usage.restored_bytes) / usage.restore_seconds;
    }
    // What the first token may take: the disk's time and a tenth of a second.
    double limit() const { return 0.1 + static_cast<double>(usage.restored_bytes) / disk; }
};

struct Report {
    chat::ModelReady model;
    chat::Usage read;  // the first time
    std::vector<Resumption> resumed;

    template <class Quantity>
    Spread of(Quantity quantity) const {
        return spread_of(resumed, quantity);
    }
    Spread first_token() const {
        return of([](const Resumption& r) { return r.usage.first_token_seconds; });
    }
    Spread restore() const {
        return of([](const Resumption& r) { return r.usage.restore_seconds; });
    }
    Spread read_rate() const {
        return of([](const Resumption& r) { return r.read_rate(); });
    }
    Spread disk() const {
        return of([](const Resumption& r) { return r.disk; });
    }
    Spread limit() const {
        return of([](const Resumption& r) { return r.limit(); });
    }
    double ratio() const { return read.first_token_seconds / first_token().median; }
};

Report measure(const BenchOptions& options) {
    const PageFolder folder;
    Report report;
    std::vector<TokenId> conversation;
    {
        Host host(options, folder.path());
        report.model = host.ready;
        conversation = spread_tokens(options.prompt, report.model.vocab, 1);
        report.read = host.first_token(conversation);
        host.ask<chat::Done>(chat::Kv{.action = chat::KvAction::save});
    }
    for (unsigned i = 0; i < options.repetitions; ++i) {
        // Loading reads the weights, so it goes first; nothing of the folder is touched by it.
        Host host(options, folder.path());
        Resumption resumption;
        folder.drop_from_memory();
        resumption.disk = folder.read_plainly();
        folder.drop_from_memory();
        resumption.usage = host.first_token(conversation);
        report.resumed.push_back(resumption);
    }
    return report;
}

void print_json(const BenchOptions& options, const Report& report, std::ostream& out) {
    const chat::Usage& last = report.resumed.back().usage;
    const Json json = {{"model", options.path},
                       {"family", report.model.family},
                       {"kv", options.kv},
                       {"tokens", options.prompt},
                       {"repetitions", options.repetitions},
                       {"read", {{"first_token_seconds", report.read.first_token_seconds}}},
                       {"resumed",
                        {{"first_token_seconds", to_json(report.first_token())},
                         {"restored_tokens", last.restored},
                         {"recomputed_tokens", last.recomputed},
                         {"restored_bytes", last.restored_bytes},
                         {"restore_seconds", to_json(report.restore())},
                         {"read_bytes_per_second", to_json(report.read_rate())},
                         {"limit_seconds", to_json(report.limit())}}},
                       {"disk_bytes_per_second", to_json(report.disk())},
                       {"ratio", report.ratio()}};
    out << json.dump(2) << '\n';
}

void print_text(const BenchOptions& options, const Report& report, std::ostream& out) {
    const chat::Usage& last = report.resumed.back().usage;
    out << report.model.family << ", a conversation of " << options.prompt << " tokens, KV "
        << options.kv << ", " << options.repetitions << " restarts\n"
        << "first token when read: " << number(report.read.first_token_seconds, 2) << " s, "
        << rate(options.prompt / report.read.first_token_seconds) << " tok/s\n"
        << "first token when resumed: " << number(report.first_token().median, 3) << " s (min "
        << number(report.first_token().least, 3) << ", max " << number(report.first_token().most, 3)
        << "), " << rate(report.ratio()) << " times shorter\n"
        << "restored " << last.restored << " tokens, "
        << rate(static_cast<double>(last.restored_bytes) / 1e6) << " MB, in "
        << number(report.restore().median, 3) << " s, " << rate(report.read_rate().median / 1e9)
        << " GB/s; recomputed " << last.recomputed << "\n"
        << "the disk alone gives " << rate(report.disk().median / 1e9)
        << " GB/s; 100 ms and its time for the bytes are " << number(report.limit().median, 3)
        << " s\n";
}

}  // namespace

int run_bench_resume(const BenchOptions& options, std::ostream& out) {
    if (options.prompt == 0)
        throw Error(ErrorKind::usage, "-p", "is 0", "give the conversation a length");
    const Report report = measure(options);
    if (report.resumed.back().usage.restored == 0)
        throw Error(ErrorKind::storage, core::cache_folder(),
                    "gave nothing back of what was written there", "see the log");
    if (options.json) {
        print_json(options, report, out);
    } else {
        print_text(options, report, out);
    }
    return 0;
}

}  // namespace app
