// What the engine and its clients say to each other. Plain values; no behaviour.
//
// Every request ends in exactly one terminal event: ModelReady, Done, Counted, Spelled, Previewed,
// KvListed, Captured, Finished or Failed. Requests carry an id chosen by the client, unique in its
// channel. Cancel is not a message but a shared flag, so that it takes at most one pool task.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/base/hash.h"
#include "core/base/token_id.h"

namespace chat {

using core::TokenId;
using RequestId = uint64_t;

// Set by the client, read by pool tasks. Shared because either side may outlive the other's
// interest.
using CancelFlag = std::shared_ptr<std::atomic<bool>>;
inline CancelFlag make_cancel_flag() {
    return std::make_shared<std::atomic<bool>>(false);
}

enum class Role : uint8_t { system, user, assistant };

struct Message {
    Role role = Role::user;
    std::string text = {};
    // Exact ids of an answer of the assistant, so that it is never tokenized again; may be empty.
    std::vector<TokenId> tokens = {};
};

// All sampling parameters. Off values in comments; the order is the sampler's
// (core/engine/sampler.h).
struct Sampling {
    float temperature = 0.8F;         // 0 = greedy
    int32_t top_k = 40;               // 0 = off
    float top_p = 0.95F;              // 1 = off
    float min_p = 0.05F;              // 0 = off
    float repetition_penalty = 1.0F;  // 1 = off
    int32_t repetition_window = 64;   // last tokens of prompt and answer; 0 = off, -1 = all
    float frequency_penalty = 0.0F;   // over the answer
    float presence_penalty = 0.0F;    // over the answer
    std::vector<std::pair<TokenId, float>> logit_bias = {};  // -infinity bans
    uint64_t seed = 0;
    bool grok1_order =
        false;  // temperature first, then Grok-1's nucleus (specs: samplers, section 7)

    friend bool operator==(const Sampling&, const Sampling&) = default;
};

// A change of the parameters in force from a token of the answer on; for replays.
struct SamplingChange {
    uint32_t at_token = 0;
    Sampling sampling = {};
};

enum class KvTypeChoice : uint8_t { f32, f16, q8 };

// How much a Delta tells about each token.
enum class Detail : uint8_t {
    text,    // ids and text only
    chosen,  // probability, rank and entropy of the chosen token
    full,    // alternatives and experts too
};

// --- requests ---------------------------------------------------------------------------------

struct LoadModel {
    RequestId id = 0;
    std::string path = {};
    // Never more than the model was made for. 0 = the engine's choice: at most 8192, within memory.
    uint32_t context = 0;
    KvTypeChoice kv_type = KvTypeChoice::f16;
    std::string template_name = {};  // "" = detect
    uint32_t threads = 0;            // of the engine from now on; 0 = as before
    CancelFlag cancel = make_cancel_flag();
};

struct UnloadModel {
    RequestId id = 0;
};

struct Generate {
    RequestId id = 0;
    std::string scope = {};  // who may share cached pages with whom; "" = the user interface
    // What to answer: messages, or raw text, or token ids.
    std::variant<std::vector<Message>, std::string, std::vector<TokenId>> prompt = {};
    // Start of the answer, already decided. It is told in the first Delta like what follows, so
    // that the text of a choice is the concatenation of its Deltas; not counted by max_tokens.
    std::vector<TokenId> forced_prefix = {};
    // What the answer goes on with after those, as the engine tokenizes it.
    std::string forced_text = {};
    Sampling sampling = {};
    std::vector<SamplingChange> timeline = {};
    std::vector<std::string> stop = {};
    uint32_t max_tokens = 0;  // 0 = until the context is full
    uint32_t choices = 1;
    Detail detail = Detail::chosen;
    bool persist = true;  // false: nothing of it is written to the disk cache (temporary chats)
    bool write_later = false;  // what persists is written when a Kv save asks for it, not at once
    CancelFlag cancel = make_cancel_flag();
};

// In force from the next token of the running request.
struct UpdateSampling {
    RequestId id = 0;
    RequestId target = 0;
    Sampling sampling = {};
};

struct Count {
    RequestId id = 0;
    std::variant<std::vector<Message>, std::string> what = {};
};

// How the vocabulary cuts a text, or what ids stand for. Answered by Spelled.
struct Spell {
    RequestId id = 0;
    std::variant<std::string, std::vector<TokenId>> what = {};
};

struct Preview {
    RequestId id = 0;
    RequestId target = 0;
    Sampling sampling = {};
};

struct Prefill {
    RequestId id = 0;
    std::string scope = {};
    std::vector<Message> messages = {};
    CancelFlag cancel = make_cancel_flag();
};

enum class KvAction : uint8_t {
    list,      // what is in memory and on disk; answered by KvListed
    save,      // write to disk now
    drop,      // forget, in memory and on disk, what no other line shares
    prefetch,  // restore from disk into memory
};

// The KV cache of lines of conversations, each given as the messages that Generate would carry.
struct Kv {
    RequestId id = 0;
    KvAction action = KvAction::list;
    std::string scope = {};
    std::vector<std::vector<Message>> lines = {};  // none: all that is kept
    CancelFlag cancel = make_cancel_flag();        // of a prefetch
};

struct Capture {
    RequestId id = 0;
    RequestId target = 0;
    bool hidden_states = false;
    bool router_logits = false;
    bool attention_output = false;
    uint32_t begin = 0;
    uint32_t end = 0;
};

using Request = std::variant<LoadModel, UnloadModel, Generate, UpdateSampling, Count, Spell,
                             Preview, Prefill, Kv, Capture>;

// --- events -----------------------------------------------------------------------------------

struct ModelReady {
    RequestId id = 0;
    std::string name = {};
    std::string family = {};
    std::string format = {};  // chat format in use
    uint32_t context = 0;     // tokens that fit
    uint32_t vocab = 0;
    uint64_t weight_bytes = 0;
    uint64_t kv_bytes = 0;  // of a full context
    double seconds = 0;
    // What its file recommends for sampling: values by the names that /set has.
    std::map<std::string, std::string> sampling_hints = {};
};

struct Done {
    RequestId id = 0;
};

enum class Phase : uint8_t { loading, restoring, prefill };

struct Progress {
    RequestId id = 0;
    Phase phase = Phase::loading;
    uint64_t done = 0;  // bytes when loading, tokens otherwise
    uint64_t total = 0;
    std::string reason = {};  // why it takes long, when it does
};

// Which stage of the sampler removed an alternative.
enum class Stage : uint8_t { none, banned, top_k, top_p, min_p };

struct Alternative {
    TokenId id = -1;
    std::string bytes = {};
    float raw_probability = 0;    // softmax of the logits
    float final_probability = 0;  // after all stages
    Stage removed_by = Stage::none;
};

struct ExpertChoice {
    uint16_t layer = 0;
    uint16_t expert = 0;
    float weight = 0;
};

struct Token {
    TokenId id = -1;
    std::string bytes = {};
    float raw_probability = 0;
    float final_probability = 0;
    float entropy = 0;      // nats, of the raw distribution
    uint32_t rank = 0;      // 0 = most probable
    float temperature = 0;  // in force at this token
    std::vector<Alternative> alternatives = {};
    std::vector<ExpertChoice> experts = {};
};

struct Delta {
    RequestId id = 0;
    uint32_t choice = 0;
    std::string text = {};  // whole UTF-8 code points; may be empty while bytes are held back
    std::vector<Token> tokens = {};
};

struct Stats {
    uint64_t weight_bytes = 0;
    uint64_t kv_bytes_in_use = 0;
    uint64_t kv_bytes_budget = 0;
    uint32_t context_used = 0;
    double tokens_per_second = 0;
    double bytes_per_second = 0;  // weights read
    uint32_t running = 0;
    uint32_t queued = 0;
};

struct Counted {
    RequestId id = 0;
    std::vector<uint32_t> tokens = {};  // per message; one entry for a text
    uint32_t total = 0;                 // of the whole rendered prompt
};

struct Piece {
    TokenId id = -1;
    std::string text = {};  // as the vocabulary spells what has no bytes; empty: there is none
};

struct Spelled {
    RequestId id = 0;
    std::vector<Piece> pieces = {};
};

struct Previewed {
    RequestId id = 0;
    std::vector<Alternative> alternatives = {};
};

// Of one line. What is neither resident nor on disk must be read again.
struct KvEntry {
    uint32_t tokens = 0;         // of the whole line
    uint32_t resident = 0;       // tokens of its beginning that are in memory
    uint32_t on_disk = 0;        // tokens that follow them on disk
    uint64_t disk_bytes = 0;     // to be read for those
    double restore_seconds = 0;  // expected, from rates measured so far; 0 = unknown
    double reread_seconds = 0;   // expected for the rest; 0 = unknown
    // The rest is on disk too, but was made by another build, with other weights or KV type.
    bool made_otherwise = false;
};

struct KvListed {
    RequestId id = 0;
    std::vector<KvEntry> entries = {};
    uint64_t memory_bytes = 0;  // in use
    uint64_t memory_budget = 0;
    uint64_t disk_bytes = 0;
    uint64_t disk_budget = 0;  // 0: nothing is kept on disk
    uint32_t memory_pages = 0;
    uint32_t disk_pages = 0;
};

struct Captured {
    RequestId id = 0;
    std::vector<std::pair<std::string, std::vector<float>>> arrays = {};
};

enum class FinishReason : uint8_t { stop, length, context_full, cancelled };

struct Usage {
    uint32_t prompt = 0;      // tokens of the rendered prompt and the forced prefix
    uint32_t reused = 0;      // of these, found in the cache
    uint32_t restored = 0;    // of the reused, read from disk
    uint32_t recomputed = 0;  // of these, run through the model
    uint32_t generated = 0;
    uint64_t restored_bytes = 0;
    double restore_seconds = 0;
    double prefill_seconds = 0;
    double decode_seconds = 0;       // from the first token to the last
    double first_token_seconds = 0;  // from the request to its first token
};

struct Finished {
    RequestId id = 0;
    uint32_t choice = 0;
    bool last_choice = true;  // the terminal event is the one with last_choice set
    FinishReason reason = FinishReason::stop;
    Usage usage = {};
    uint64_t seed = 0;
    // What the cache writes to the disk of it: all ids of the line, and the root above their pages
    // (docs/kv_format.md). Empty: nothing.
    std::vector<TokenId> cached_line = {};
    core::Hash128 cache_root = {};
};

struct Failed {
    RequestId id = 0;
    std::string sentence = {};  // ready for the user
    int exit_code = 1;          // core::ErrorKind
};

using Event = std::variant<ModelReady, Done, Progress, Delta, Stats, Counted, Spelled, Previewed,
                           KvListed, Captured, Finished, Failed>;

// True when no more events of that request follow.
bool is_terminal(const Event& event);
// The request that an event belongs to; 0 for Stats.
RequestId request_of(const Event& event);
RequestId request_of(const Request& request);
// The flag that cancels a request; null for requests that end at once.
CancelFlag cancel_flag_of(const Request& request);
// What an event is worth in the accounting of undrained bytes.
size_t byte_size(const Event& event);

}  // namespace chat
