// The handles in C++: unique_ptr owns them, an exception carries the message.
#include <mmcl/mmcl.h>

#include <cstdio>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

namespace mmcl {

template <class T, void (*Destroy)(T *)> struct deleter {
    void operator()(T *handle) const { Destroy(handle); }
};

using context   = std::unique_ptr<mmcl_context, deleter<mmcl_context, mmcl_context_destroy>>;
using transform = std::unique_ptr<mmcl_transform, deleter<mmcl_transform, mmcl_transform_destroy>>;

inline void check(mmcl_status status, const context &owner)
{
    if (status != MMCL_OK)
        throw std::runtime_error(std::string(mmcl_status_string(status)) + (owner ? ": " : "") +
                                 (owner ? mmcl_context_message(owner.get()) : ""));
}

inline context make_context(uint32_t threads)
{
    mmcl_context_options options = {};
    options.struct_size          = sizeof options;
    options.threads              = threads;
    mmcl_context *handle         = nullptr;
    check(mmcl_context_create(&handle, &options), nullptr);
    return context(handle);
}

inline transform make_transform(const context &owner, const char *spec)
{
    mmcl_transform *handle = nullptr;
    check(mmcl_transform_create_spec(&handle, owner.get(), spec), owner);
    return transform(handle);
}

inline mmcl_matrix view(const std::vector<float> &rows, size_t cols)
{
    mmcl_matrix matrix = {};
    matrix.data        = rows.data();
    matrix.rows        = rows.size() / cols;
    matrix.cols        = cols;
    return matrix;
}

} // namespace mmcl

int main()
try {
    std::mt19937                          random(7);
    std::uniform_real_distribution<float> uniform(-1, 1);
    std::vector<float>                    rows(2000 * 12), out(2000 * 6);
    for (float &value : rows)
        value = uniform(random);

    mmcl::context   context = mmcl::make_context(2);
    mmcl::transform ica     = mmcl::make_transform(context, "ica:6:picard");
    mmcl_matrix     matrix  = mmcl::view(rows, 12);
    mmcl::check(mmcl_transform_fit(ica.get(), &matrix, 1, nullptr), context);
    mmcl::check(mmcl_transform_apply(ica.get(), &matrix, out.data(), 0), context);
    std::printf("first row: %g %g %g ...\n", out[0], out[1], out[2]);
    try {
        mmcl::make_transform(context, "ica:6:piccard");
    } catch (const std::runtime_error &error) {
        std::printf("as expected: %s\n", error.what());
        return 0;
    }
    return 1;
} catch (const std::exception &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
