// A world for the tests of bit-identity: the scheduler over a tiny model, stepped by the test.
// Every row of logits that it computes is entered in a book, and every answer's usage is held
// against what the world has read before.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/pool.h"
#include "core/chat/channel.h"
#include "core/engine/scheduler.h"
#include "core/engine/served_model.h"
#include "core/kv/disk_thread.h"
#include "tests/support/loaded_model.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_model.h"

namespace core {

// The logits after lines of tokens.
class LogitBook {
  public:
    // A line that is in the book already must have the same bits: else the test fails.
    void enter(std::span<const TokenId> line, std::span<const float> logits);

    // Computes all lines once more, each from its beginning in one pass and without a cache, and
    // compares with ==.
    void verify(Model& model, KvType type) const;

    size_t size() const { return rows_.size(); }

  private:
    std::map<std::vector<TokenId>, std::vector<float>> rows_;
};

struct Question {
    std::vector<TokenId> prompt;
    std::vector<TokenId> forced_prefix = {};
    uint32_t max_tokens = 24;
    uint32_t choices = 1;
    std::string scope = {};
    bool persist = true;
};

struct Answers {
    std::vector<std::vector<TokenId>> choices;  // without the forced prefix
    chat::Usage usage;

    const std::vector<TokenId>& tokens() const { return choices.front(); }
};

struct WorldOptions {
    support::Family family = support::Family::grok1;
    KvType type = KvType::f16;
    bool greedy = true;
    uint32_t context = 1024;
    bool on_disk = false;  // what was read is also kept in a folder of this world
};

class World {
  public:
    explicit World(const WorldOptions& options);
    ~World();
    World(const World&) = delete;
    World& operator=(const World&) = delete;

    // Everything in memory goes and what is on disk stays; the model is loaded again.
    void restart(uint32_t prefill_chunk = 64);

    Answers ask(Question question);
    // All begin before the first pass.
    std::vector<Answers> ask_together(std::vector<Question> questions);

    // From now on nothing is expected to be known.
    void forget_what_was_read() { known_.clear(); }

    // Recomputes what the book holds.
    void verify();

    LogitBook book;

  private:
    chat::Generate request_of(const Question& question) const;
    void wait_for_disk();
    void take_events();
    void check_usage(const Question& question, const chat::Usage& usage) const;
    std::vector<bool> forward(std::span<const Slice> batch, std::vector<float>& logits);

    struct Asked {
        Question question;
        Answers answers;
        bool finished = false;
    };

    WorldOptions options_;
    support::TemporaryFolder folder_;
    support::TemporaryGguf file_;
    Pool pool_{1};
    ForwardFunction run_;
    std::optional<DiskThread> disk_;
    std::optional<ServedModel> model_;
    std::optional<Scheduler> scheduler_;
    chat::Channel channel_;
    std::map<chat::RequestId, Asked> asked_;
    std::map<std::string, std::vector<std::vector<TokenId>>> known_;  // lines read, by scope
};

// `count` tokens that have no meaning, others for each seed.
std::vector<TokenId> some_tokens(size_t count, uint32_t seed);

// One line after the other.
std::vector<TokenId> joined(std::vector<TokenId> line, std::span<const TokenId> more);

}  // namespace core
