// Names of weights and of models: the same for the same content, another for any change.
#include "core/model/identity.h"

#include <cstdint>

#include <gtest/gtest.h>

#include "core/base/hash.h"
#include "tests/support/loaded_model.h"
#include "tests/support/tiny_model.h"

namespace core {
namespace {

Hash128 identity_of(const support::TestModel& model) {
    const support::TemporaryGguf file(model);
    const auto weights = open_weight_file(file.path());
    return weights_identity(*weights);
}

support::TestModel model() {
    return support::tiny_model(support::Family::grok1, support::Storage::q8_0);
}

TEST(WeightsIdentity, IsTheSameForTheSameWeightsWhereverTheyLie) {
    EXPECT_EQ(identity_of(model()), identity_of(model()));
}

TEST(WeightsIdentity, ChangesWithAnythingThatItCovers) {
    const Hash128 own = identity_of(model());
    const auto changed = [&](auto&& change) {
        support::TestModel other = model();
        change(other);
        return identity_of(other);
    };
    using support::TestModel;
    EXPECT_NE(own, changed([](TestModel& m) { m.tensors.front().data.front() ^= std::byte{1}; }));
    EXPECT_NE(own, changed([](TestModel& m) { m.tensors.back().data.back() ^= std::byte{1}; }));
    EXPECT_NE(own, changed([](TestModel& m) { m.tensors.front().name += "x"; }));
    EXPECT_NE(own,
              changed([](TestModel& m) { m.meta("general.architecture") = std::string("x"); }));
}

TEST(ModelIdentity, ChangesWithTheConfiguration) {
    const support::TemporaryGguf file(model());
    const auto weights = open_weight_file(file.path());
    ModelConfig config;
    config.layers.resize(2);
    const Hash128 own = model_identity(*weights, config);
    const auto changed = [&](auto&& change) {
        ModelConfig other = config;
        change(other);
        return model_identity(*weights, other);
    };
    EXPECT_EQ(own, changed([](ModelConfig& c) { c.context = 7; }));
    EXPECT_NE(own, changed([](ModelConfig& c) { c.logit_softcap = 7; }));
    EXPECT_NE(own, changed([](ModelConfig& c) { c.layers[1].attention.window = 7; }));
    EXPECT_NE(own, changed([](ModelConfig& c) { c.layers[1].attention.rope.theta = 7; }));
    EXPECT_NE(own, changed([](ModelConfig& c) { c.layers[0].ffn.mix = 7; }));
}

}  // namespace
}  // namespace core
