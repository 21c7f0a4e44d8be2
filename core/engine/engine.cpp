#include "core/engine/engine.h"

#include <chrono>
#include <new>
#include <optional>
#include <thread>
#include <utility>
#include <variant>

#include "core/base/error.h"
#include "core/base/pool.h"
#include "core/engine/clients.h"
#include "core/engine/kv_requests.h"
#include "core/engine/scheduler.h"
#include "core/engine/served_model.h"
#include "core/kernels/kernels.h"
#include "core/kv/disk_thread.h"

namespace core {
namespace {

// How often a load tells its progress at most; more would only be drawn over.
constexpr auto kProgressInterval = std::chrono::milliseconds(50);

// How late a cancel may be noticed while nothing but the disk is at work.
constexpr auto kCancelInterval = std::chrono::milliseconds(20);

[[noreturn]] void fail_without_model() {
    throw Error(ErrorKind::usage, "", "no model is loaded", "load one first");
}

Error out_of_memory() {
    return {ErrorKind::memory, "", "there is not enough memory for this",
            "close something else or use a smaller model"};
}

}  // namespace

struct Engine::Impl {
    explicit Impl(const EngineOptions& engine_options)
        : options(engine_options),
          kernels(select_kernels(engine_options.isa)),
          pool(std::in_place, engine_options.threads) {
        if (!options.kv_directory.empty() && options.kv_disk_bytes > 0) {
            disk.emplace(options.kv_directory, options.kv_disk_bytes, options.kv_min_tokens);
            clients.wake_on(disk->fd());
        }
        thread = std::thread([this] { run(); });
    }

    ~Impl() {
        clients.stop();
        thread.join();
    }

    void run();
    template <class Work>
    void attempt(Work&& work);
    void serve(Arrival& arrival);
    void let_go(chat::Channel* channel);
    bool generating() const { return scheduler && scheduler->ready(); }
    std::optional<std::chrono::milliseconds> patience() const;
    void follow_disk();
    void end_all();
    void use_threads(unsigned count);
    Scheduler& loaded();

    void handle(chat::Channel& channel, chat::LoadModel& request);
    void handle(chat::Channel& channel, chat::UnloadModel& request);
    void handle(chat::Channel& channel, chat::Generate& request);
    void handle(chat::Channel& channel, chat::UpdateSampling& request);
    void handle(chat::Channel& channel, chat::Count& request);
    void handle(chat::Channel& channel, chat::Spell& request);
    void handle(chat::Channel& channel, chat::Preview& request);
    void handle(chat::Channel& channel, chat::Prefill& request);
    void handle(chat::Channel& channel, chat::Kv& request);
    void handle(chat::Channel& channel, chat::Capture& request);

    // Constant after construction.
    EngineOptions options;
    const Kernels& kernels;

    Clients clients;

    // Engine thread only.
    std::optional<Pool> pool;        // always one
    std::optional<DiskThread> disk;  // none: the KV cache is in memory only
    std::optional<ServedModel> model;
    std::optional<Scheduler> scheduler;  // refers to the model and the disk thread
    std::optional<KvRequests> kv;        // refers to the scheduler
    std::optional<Pool::Awake> awake;    // while answers are being written

    std::thread thread;  // last: it uses everything above
};

// One pass at a time, requests in between: nothing waits longer than a pass.
void Engine::Impl::run() {
    while (clients.wait(patience())) {
        const auto leaving = clients.leaving();
        for (Arrival& arrival : clients.take_arrivals())
            serve(arrival);
        for (chat::Channel* channel : leaving)
            let_go(channel);
        follow_disk();
        if (generating() && !awake) awake.emplace(*pool);
        if (scheduler) attempt([this] { scheduler->step(); });
        if (!generating()) awake.reset();
    }
    awake.reset();
    end_all();
    clients.engine_ended();
}

// While something waits for the disk alone, nobody rings when it is cancelled.
std::optional<std::chrono::milliseconds> Engine::Impl::patience() const {
    if (generating() || (kv && kv->ready())) return std::chrono::milliseconds(0);
    const bool waiting = (scheduler && !scheduler->idle()) || (kv && !kv->idle());
    return waiting ? std::optional(kCancelInterval) : std::nullopt;
}

// Without a scheduler what the disk thread has done was for a model that is gone, and the pages
// that come back end here.
void Engine::Impl::follow_disk() {
    if (kv) {
        attempt([this] { scheduler->follow_disk(); });
        kv->advance();
    } else if (disk) {
        disk->acknowledge();
        while (disk->poll()) {
        }
    }
}

void Engine::Impl::end_all() {
    if (scheduler) scheduler->cancel();
    if (kv) kv->cancel();
}

// What the scheduler throws is not the fault of one request: all of them end, the engine goes on.
template <class Work>
void Engine::Impl::attempt(Work&& work) {
    try {
        work();
    } catch (const Error& error) {
        scheduler->fail(error);
    } catch (const std::bad_alloc&) {
        scheduler->fail(out_of_memory());
    }
}

void Engine::Impl::let_go(chat::Channel* channel) {
    if (scheduler) scheduler->cancel(channel);  // first: what it has read is saved with the rest
    if (kv) kv->cancel(channel);
    clients.released(channel);
}

// The one place where an error of a request ends: its client is told, the engine goes on.
void Engine::Impl::serve(Arrival& arrival) {
    const chat::RequestId id = chat::request_of(arrival.request);
    const auto fail = [&](const Error& error) {
        arrival.channel->emit(chat::Failed{
            .id = id, .sentence = error.sentence(), .exit_code = static_cast<int>(error.kind())});
    };
    try {
        std::visit([&](auto& request) { handle(*arrival.channel, request); }, arrival.request);
    } catch (const Error& error) {
        fail(error);
    } catch (const std::bad_alloc&) {
        fail(out_of_memory());
    } catch (const std::exception& error) {
        fail(Error(ErrorKind::internal, "engine", error.what()));
    }
}

Scheduler& Engine::Impl::loaded() {
    if (!scheduler) fail_without_model();
    return *scheduler;
}

// In its place, so that the model in use goes on with the new one. REQUIRES: nothing runs.
void Engine::Impl::use_threads(unsigned count) {
    if (count == 0 || count == pool->size()) return;
    const unsigned before = pool->size();
    awake.reset();
    try {
        pool.emplace(count);
    } catch (const Error&) {
        pool.emplace(before);
        throw;
    }
}

// The model in use stays until the new one is there, where both fit.
void Engine::Impl::handle(chat::Channel& channel, chat::LoadModel& request) {
    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    auto told = start - kProgressInterval;
    end_all();
    use_threads(request.threads);
    const auto let_go = [&] {
        kv.reset();
        scheduler.reset();
        model.reset();
    };
    const auto progress = [&](uint64_t done, uint64_t total) {
        if (Clock::now() - told < kProgressInterval && done != total) return;
        told = Clock::now();
        channel.emit(chat::Progress{
            .id = request.id, .phase = chat::Phase::loading, .done = done, .total = total});
    };
    chat::ModelReady ready{.id = request.id};
    ServedModel next = load_served_model(
        request,
        {.kernels = &kernels,
         .pool = &*pool,
         .progress = progress,
         .reclaimable_bytes = model ? model->weight_bytes + model->pages->bytes_in_use() : 0,
         .make_room = let_go,
         .will_restore = disk.has_value()},
        ready);
    let_go();
    model.emplace(std::move(next));
    scheduler.emplace(*model, options.prefill_chunk, Scheduler::Clock::now,
                      disk ? &*disk : nullptr);
    kv.emplace(*model, *scheduler);
    ready.seconds = std::chrono::duration<double>(Clock::now() - start).count();
    channel.emit(std::move(ready));
}

void Engine::Impl::handle(chat::Channel& channel, chat::UnloadModel& request) {
    end_all();
    kv.reset();
    scheduler.reset();
    model.reset();
    channel.emit(chat::Done{.id = request.id});
}

void Engine::Impl::handle(chat::Channel& channel, chat::Generate& request) {
    loaded().generate(channel, std::move(request));
}

void Engine::Impl::handle(chat::Channel& channel, chat::Prefill& request) {
    loaded().prefill(channel, std::move(request));
}

void Engine::Impl::handle(chat::Channel& channel, chat::UpdateSampling& request) {
    loaded().update_sampling(channel, request);
    channel.emit(chat::Done{.id = request.id});
}

void Engine::Impl::handle(chat::Channel& channel, chat::Count& request) {
    loaded();
    chat::Counted counted{.id = request.id};
    if (const auto* text = std::get_if<std::string>(&request.what)) {
        counted.total = static_cast<uint32_t>(model->tokenizer->encode(*text, false).size());
        counted.tokens = {counted.total};
    } else {
        const auto& messages = std::get<std::vector<chat::Message>>(request.what);
        counted.tokens = model->format.count(*model->tokenizer, messages);
        counted.total =
            static_cast<uint32_t>(model->format.prompt(*model->tokenizer, messages).ids.size());
    }
    channel.emit(std::move(counted));
}

void Engine::Impl::handle(chat::Channel& channel, chat::Spell& request) {
    loaded();
    const Tokenizer& tokenizer = *model->tokenizer;
    const auto* text = std::get_if<std::string>(&request.what);
    const std::vector<TokenId> ids = text != nullptr ? tokenizer.encode(*text, false)
                                                     : std::get<std::vector<TokenId>>(request.what);
    chat::Spelled spelled{.id = request.id};
    for (const TokenId id : ids) {
        chat::Piece& piece = spelled.pieces.emplace_back(chat::Piece{.id = id});
        if (id < 0 || static_cast<uint32_t>(id) >= tokenizer.size()) continue;
        piece.text = tokenizer.bytes(id).empty() ? tokenizer.piece(id) : tokenizer.bytes(id);
    }
    channel.emit(std::move(spelled));
}

void Engine::Impl::handle(chat::Channel& channel, chat::Preview& request) {
    chat::Previewed previewed{.id = request.id, .alternatives = loaded().preview(channel, request)};
    channel.emit(std::move(previewed));
}

void Engine::Impl::handle(chat::Channel& channel, chat::Kv& request) {
    loaded();
    kv->begin(channel, std::move(request));
}

void Engine::Impl::handle(chat::Channel& /*channel*/, chat::Capture& /*request*/) {
    throw Error(ErrorKind::usage, "", "recording activations is not built yet");
}

Engine::Engine(const EngineOptions& options) : impl_(std::make_unique<Impl>(options)) {}

Engine::~Engine() = default;

void Engine::attach(chat::Channel& channel) {
    impl_->clients.attach(channel);
}

void Engine::detach(chat::Channel& channel) {
    impl_->clients.detach(channel);
}

}  // namespace core
