#include "core/formats/pickle.h"

#include <array>
#include <initializer_list>
#include <string_view>
#include <utility>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/base/utf8.h"

namespace core {
namespace {

// CPython's Lib/pickle.py. All others are refused.
enum class Opcode : uint8_t {
    mark = '(',
    empty_tuple = ')',
    stop = '.',
    bin_bytes = 'B',
    short_bin_bytes = 'C',
    bin_int = 'J',
    bin_int1 = 'K',
    bin_int2 = 'M',
    none = 'N',
    reduce = 'R',
    build = 'b',
    bin_get = 'h',
    long_bin_get = 'j',
    tuple = 't',
    set_items = 'u',
    empty_dict = '}',
    proto = 0x80,
    new_object = 0x81,
    tuple1 = 0x85,
    tuple2 = 0x86,
    tuple3 = 0x87,
    new_true = 0x88,
    new_false = 0x89,
    short_bin_unicode = 0x8c,
    bin_bytes8 = 0x8e,
    stack_global = 0x93,
    memoize = 0x94,
    frame = 0x95,
};

constexpr uint8_t kProtocol = 4;

enum class Global : uint8_t { reconstruct, ndarray, dtype, bfloat16, quantized };

struct KnownGlobal {
    std::string_view module;
    std::string_view name;
    Global global;
};

constexpr auto kGlobals = std::to_array<KnownGlobal>({
    {"numpy.core.multiarray", "_reconstruct", Global::reconstruct},
    {"numpy._core.multiarray", "_reconstruct", Global::reconstruct},  // numpy 2
    {"numpy", "ndarray", Global::ndarray},
    {"numpy", "dtype", Global::dtype},
    {"ml_dtypes", "bfloat16", Global::bfloat16},
    {"__main__", "QuantizedWeight8bit", Global::quantized},
});

// Values refer to one another by index, so that a hostile graph of them costs no recursion and no
// cycle keeps memory.
using Index = uint32_t;

enum class Kind : uint8_t {
    mark,
    none,
    boolean,
    integer,
    text,
    bytes,
    tuple,
    dict,  // items: key, value, key, value ...
    global,
    new_dtype,  // constructed, not yet built
    dtype,
    new_array,
    array,  // items: shape, dtype, bytes
    new_quantized,
    quantized,  // items: values, scales
};

struct Value {
    Kind kind = Kind::none;
    int64_t number = 0;     // integer, boolean, Global
    std::string text = {};  // text
    uint64_t offset = 0;    // bytes
    uint64_t length = 0;
    DType type = DType::f32;  // dtypes
    std::vector<Index> items = {};
};

struct TypeName {
    std::string_view descr;
    DType type;
};

constexpr auto kTypes = std::to_array<TypeName>({{"f4", DType::f32}, {"i1", DType::i8}});

class Unpickler {
  public:
    Unpickler(std::span<const std::byte> bytes, const std::string& name)
        : in_(bytes, name), size_(bytes.size()) {}

    PickledTensor read() {
        if (static_cast<Opcode>(in_.read<uint8_t>("opcode")) != Opcode::proto ||
            in_.read<uint8_t>("protocol") != kProtocol)
            fail("is no pickle of protocol 4");
        for (size_t count = 0; step(); ++count)
            if (count == pickle::kMaxOpcodes)
                fail("has more than " + std::to_string(pickle::kMaxOpcodes) + " opcodes");
        if (in_.remaining() != 0)
            fail("has " + std::to_string(in_.remaining()) + " bytes behind its end");
        if (stack_.size() != 1) fail("ends with " + std::to_string(stack_.size()) + " values");
        return tensor(stack_.back());
    }

  private:
    [[noreturn]] void fail(std::string problem) const {
        in_.fail(std::move(problem), "it is no tensor of a Grok-1 checkpoint, or it is damaged");
    }

    // Interprets one opcode; false at the end.
    bool step();
    void step_constant(Opcode opcode);
    void step_structure(Opcode opcode, uint8_t byte);

    const Value& at(Index index) const { return values_[index]; }
    Index make(Value value) {
        values_.push_back(std::move(value));
        return static_cast<Index>(values_.size() - 1);
    }
    void push(Index index) {
        if (stack_.size() == pickle::kMaxStack)
            fail("stacks more than " + std::to_string(pickle::kMaxStack) + " values");
        stack_.push_back(index);
    }
    void push_new(Value value) { push(make(std::move(value))); }
    Index pop() {
        if (stack_.empty()) fail("takes a value from an empty stack");
        const Index top = stack_.back();
        stack_.pop_back();
        return top;
    }
    // What lies above the last mark, which goes too.
    std::vector<Index> pop_to_mark() {
        std::vector<Index> items;
        for (Index top = pop(); at(top).kind != Kind::mark; top = pop())
            items.insert(items.begin(), top);
        return items;
    }

    void push_bytes(uint64_t length) {
        Value value{.kind = Kind::bytes};
        value.offset = in_.offset();
        value.length = length;
        in_.skip(length, "payload");
        push_new(std::move(value));
    }
    void push_tuple(size_t count) {
        Value value{.kind = Kind::tuple};
        for (size_t i = 0; i < count; ++i)
            value.items.insert(value.items.begin(), pop());
        push_new(std::move(value));
    }
    void push_memo(uint64_t index) {
        if (index >= memo_.size())
            fail("asks for memo entry " + std::to_string(index) + " of " +
                 std::to_string(memo_.size()));
        push(memo_[index]);
    }
    void memoize() {
        if (stack_.empty()) fail("takes a value from an empty stack");
        if (memo_.size() == pickle::kMaxMemo)
            fail("has more than " + std::to_string(pickle::kMaxMemo) + " memo entries");
        memo_.push_back(stack_.back());
    }

    void push_global();
    void set_items();
    void reduce();
    void new_object();
    void build();
    void build_dtype(Value& value, const Value& state);
    void build_array(Value& value, const Value& state);
    void build_quantized(Value& value, const Value& state);

    bool is_global(Index index, Global global) const {
        return at(index).kind == Kind::global && at(index).number == static_cast<int64_t>(global);
    }
    bool is_bool(Index index, bool value) const {
        return at(index).kind == Kind::boolean && (at(index).number != 0) == value;
    }
    bool is_tuple(Index index, size_t size) const {
        return at(index).kind == Kind::tuple && at(index).items.size() == size;
    }
    bool is_integer(Index index, int64_t value) const {
        return at(index).kind == Kind::integer && at(index).number == value;
    }

    PickledTensor tensor(Index index) const;
    PickledArray array(Index index) const;

    ByteReader in_;
    uint64_t size_;
    std::vector<Value> values_;  // no more than opcodes
    std::vector<Index> stack_;
    std::vector<Index> memo_;
};

bool Unpickler::step() {
    const uint64_t place = in_.offset();
    const auto byte = in_.read<uint8_t>("opcode");
    const auto opcode = static_cast<Opcode>(byte);
    switch (opcode) {
        case Opcode::stop: return false;
        case Opcode::none:
        case Opcode::new_true:
        case Opcode::new_false:
        case Opcode::bin_int:
        case Opcode::bin_int1:
        case Opcode::bin_int2:
        case Opcode::bin_bytes:
        case Opcode::bin_bytes8:
        case Opcode::short_bin_bytes:
        case Opcode::short_bin_unicode: step_constant(opcode); return true;
        case Opcode::mark:
        case Opcode::empty_tuple:
        case Opcode::reduce:
        case Opcode::build:
        case Opcode::bin_get:
        case Opcode::long_bin_get:
        case Opcode::tuple:
        case Opcode::set_items:
        case Opcode::empty_dict:
        case Opcode::new_object:
        case Opcode::tuple1:
        case Opcode::tuple2:
        case Opcode::tuple3:
        case Opcode::stack_global:
        case Opcode::memoize:
        case Opcode::frame: step_structure(opcode, byte); return true;
        case Opcode::proto: break;  // a second one
    }
    fail("has the opcode " + std::to_string(byte) + " at byte " + std::to_string(place) +
         ", which no checkpoint needs");
}

void Unpickler::step_constant(Opcode opcode) {
    const auto push_integer = [&](int64_t number) {
        push_new({.kind = Kind::integer, .number = number});
    };
    switch (opcode) {
        case Opcode::none: return push_new({.kind = Kind::none});
        case Opcode::new_true: return push_new({.kind = Kind::boolean, .number = 1});
        case Opcode::new_false: return push_new({.kind = Kind::boolean, .number = 0});
        case Opcode::bin_int: return push_integer(in_.read<int32_t>("number"));
        case Opcode::bin_int1: return push_integer(in_.read<uint8_t>("number"));
        case Opcode::bin_int2: return push_integer(in_.read<uint16_t>("number"));
        case Opcode::bin_bytes: return push_bytes(in_.read<uint32_t>("length"));
        case Opcode::bin_bytes8: return push_bytes(in_.read<uint64_t>("length"));
        case Opcode::short_bin_bytes: return push_bytes(in_.read<uint8_t>("length"));
        default: break;
    }
    Value value{.kind = Kind::text};
    value.text = in_.string(in_.read<uint8_t>("length"), pickle::kMaxText, "text");
    push_new(std::move(value));
}

void Unpickler::step_structure(Opcode opcode, uint8_t byte) {
    switch (opcode) {
        case Opcode::mark: return push_new({.kind = Kind::mark});
        case Opcode::empty_tuple: return push_tuple(0);
        case Opcode::tuple1:
        case Opcode::tuple2:
        case Opcode::tuple3: return push_tuple(byte - static_cast<size_t>(Opcode::tuple1) + 1);
        case Opcode::tuple: {
            Value value{.kind = Kind::tuple};
            value.items = pop_to_mark();
            return push_new(std::move(value));
        }
        case Opcode::empty_dict: return push_new({.kind = Kind::dict});
        case Opcode::set_items: return set_items();
        case Opcode::bin_get: return push_memo(in_.read<uint8_t>("memo index"));
        case Opcode::long_bin_get: return push_memo(in_.read<uint32_t>("memo index"));
        case Opcode::memoize: return memoize();
        case Opcode::stack_global: return push_global();
        case Opcode::reduce: return reduce();
        case Opcode::new_object: return new_object();
        case Opcode::build: return build();
        default: break;
    }
    // A frame says how much a reader may buffer; ours needs no buffer.
    const auto length = in_.read<uint64_t>("length of a frame");
    if (length > in_.remaining())
        fail("has a frame of " + std::to_string(length) + " bytes, " +
             std::to_string(in_.remaining()) + " are left");
}

void Unpickler::push_global() {
    const Index name = pop();
    const Index module = pop();
    if (at(name).kind != Kind::text || at(module).kind != Kind::text)
        fail("names a global by something other than text");
    for (const KnownGlobal& known : kGlobals) {
        if (known.module != at(module).text || known.name != at(name).text) continue;
        return push_new({.kind = Kind::global, .number = static_cast<int64_t>(known.global)});
    }
    fail("asks for " + sanitize(at(module).text) + "." + sanitize(at(name).text) +
         ", which no checkpoint needs");
}

void Unpickler::set_items() {
    std::vector<Index> items = pop_to_mark();
    if (stack_.empty() || at(stack_.back()).kind != Kind::dict)
        fail("puts items into something that is no dictionary");
    Value& dict = values_[stack_.back()];
    if (!dict.items.empty() || items.size() % 2 != 0)
        fail("puts " + std::to_string(items.size()) + " items into a dictionary");
    dict.items = std::move(items);
}

// numpy.core.multiarray._reconstruct(ndarray, (0,), b"b") and numpy.dtype(descr, False, True).
void Unpickler::reduce() {
    const Index arguments = pop();
    const Index callable = pop();
    if (is_tuple(arguments, 3)) {
        const auto& items = at(arguments).items;
        if (is_global(callable, Global::reconstruct) && is_global(items[0], Global::ndarray) &&
            is_tuple(items[1], 1) && is_integer(at(items[1]).items[0], 0) &&
            at(items[2]).kind == Kind::bytes && at(items[2]).length == 1)
            return push_new({.kind = Kind::new_array});
        if (is_global(callable, Global::dtype) && is_bool(items[1], false) &&
            is_bool(items[2], true)) {
            Value value{.kind = Kind::new_dtype};
            if (is_global(items[0], Global::bfloat16)) {
                value.type = DType::bf16;
                return push_new(std::move(value));
            }
            for (const TypeName& type : kTypes) {
                if (at(items[0]).kind != Kind::text || at(items[0]).text != type.descr) continue;
                value.type = type.type;
                return push_new(std::move(value));
            }
            fail("has elements of the type \"" + sanitize(at(items[0]).text) +
                 "\", known are f4, i1 and bfloat16");
        }
    }
    fail("calls something other than numpy's array and dtype");
}

void Unpickler::new_object() {
    const Index arguments = pop();
    const Index type = pop();
    if (!is_global(type, Global::quantized) || !is_tuple(arguments, 0))
        fail("makes an object other than QuantizedWeight8bit");
    push_new({.kind = Kind::new_quantized});
}

void Unpickler::build() {
    const Index state = pop();
    if (stack_.empty()) fail("takes a value from an empty stack");
    Value& value = values_[stack_.back()];
    switch (value.kind) {
        case Kind::new_dtype: return build_dtype(value, at(state));
        case Kind::new_array: return build_array(value, at(state));
        case Kind::new_quantized: return build_quantized(value, at(state));
        default: fail("sets the state of something that has none");
    }
}

// (3, byteorder, None, None, None, elsize, align, flags)
void Unpickler::build_dtype(Value& value, const Value& state) {
    const bool good = state.kind == Kind::tuple && state.items.size() == 8 &&
                      is_integer(state.items[0], 3) && at(state.items[1]).kind == Kind::text;
    if (!good) fail("has a dtype of unknown form");
    for (size_t i = 2; i < 5; ++i)
        if (at(state.items[i]).kind != Kind::none) fail("has elements with fields");
    const std::string& order = at(state.items[1]).text;
    if (order != "<" && order != "|" && order != "=")
        fail("has the byte order \"" + sanitize(order) + "\", expected little-endian");
    value.kind = Kind::dtype;
}

// (1, shape, dtype, is_fortran, bytes)
void Unpickler::build_array(Value& value, const Value& state) {
    const bool good =
        state.kind == Kind::tuple && state.items.size() == 5 && is_integer(state.items[0], 1) &&
        at(state.items[1]).kind == Kind::tuple && at(state.items[2]).kind == Kind::dtype &&
        at(state.items[3]).kind == Kind::boolean && at(state.items[4]).kind == Kind::bytes;
    if (!good) fail("has an array of unknown form");
    if (!is_bool(state.items[3], false)) fail("has an array in Fortran order");
    value.items = {state.items[1], state.items[2], state.items[4]};
    value.kind = Kind::array;
}

// {"weight": array, "scales": array}
void Unpickler::build_quantized(Value& value, const Value& state) {
    const auto is_entry = [&](size_t key, std::string_view name) {
        const Value& text = at(state.items[key]);
        return text.kind == Kind::text && text.text == name &&
               at(state.items[key + 1]).kind == Kind::array;
    };
    const bool good = state.kind == Kind::dict && state.items.size() == 4 &&
                      is_entry(0, "weight") && is_entry(2, "scales");
    if (!good) fail("has a QuantizedWeight8bit of unknown form");
    value.items = {state.items[1], state.items[3]};
    value.kind = Kind::quantized;
}

PickledArray Unpickler::array(Index index) const {
    constexpr size_t kMaxRank = 3;
    const Value& value = at(index);
    PickledArray result;
    const Value& shape = at(value.items[0]);
    const Value& bytes = at(value.items[2]);
    result.type = at(value.items[1]).type;
    result.offset = bytes.offset;
    result.length = bytes.length;
    if (shape.items.empty() || shape.items.size() > kMaxRank)
        fail("has an array of " + std::to_string(shape.items.size()) + " dimensions");
    uint64_t size = traits(result.type).bytes;
    for (const Index item : shape.items) {
        const Value& dim = at(item);
        if (dim.kind != Kind::integer || dim.number < 1) fail("has an array of impossible shape");
        result.shape.push_back(static_cast<uint64_t>(dim.number));
        if (__builtin_mul_overflow(size, result.shape.back(), &size))
            fail("has an array of impossible shape");
    }
    if (size != bytes.length)
        fail("has an array of " + std::to_string(bytes.length) + " bytes, its shape needs " +
             std::to_string(size));
    return result;
}

PickledTensor Unpickler::tensor(Index index) const {
    const Value& value = at(index);
    if (value.kind == Kind::array) return {array(index), std::nullopt};
    if (value.kind != Kind::quantized) fail("holds no array");
    PickledTensor result{array(value.items[0]), array(value.items[1])};
    if (result.values.type != DType::i8 || result.scales->type != DType::bf16 ||
        result.values.shape.size() != result.scales->shape.size())
        fail("has scales that do not fit its weights");
    return result;
}

}  // namespace

PickledTensor read_pickle(std::span<const std::byte> bytes, const std::string& name) {
    return Unpickler(bytes, name).read();
}

}  // namespace core
