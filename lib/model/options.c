/* Options of a model: defaults and checks, in one place. */
#include "model/model.h"

#include <math.h>

static const char *const spaces[] = {"sphere", "box", "real"};
static const char *const names[]  = {"default", "uniform", "normal", "laplace", "gennorm", "vmf"};

static mmcl_status check_choice(mmcl_context *context, const char *name, int32_t value, int32_t last)
{
    if (value < 0 || value > last)
        return mmcl__fail(context, MMCL_E_INVAL, "%s: %d is unknown", name, (int) value);
    return MMCL_OK;
}

static mmcl_status check_choices(mmcl_context *context, const mmcl_model_options *o)
{
    MMCL__TRY(check_choice(context, "space", o->space, MMCL_SPACE_REAL));
    MMCL__TRY(check_choice(context, "marginal", o->marginal, MMCL_DIST_VMF));
    MMCL__TRY(check_choice(context, "coupling", o->coupling, MMCL_DIST_VMF));
    MMCL__TRY(check_choice(context, "center", o->center, MMCL_CENTER_ORIGIN));
    MMCL__TRY(check_choice(context, "direction", o->direction, MMCL_DIRECTION_SYMMETRIC));
    return check_choice(context, "mixing", o->mixing, MMCL_MIXING_IDENTITY);
}

static void fill_double(double *value, double fallback)
{
    *value = *value != 0 ? *value : fallback;
}

static void fill_defaults(mmcl_model_options *o)
{
    const bool box = o->space == MMCL_SPACE_BOX, real = o->space == MMCL_SPACE_REAL;
    if (o->lower == 0 && o->upper == 0)
        o->upper = 1;
    const double side = box ? o->upper - o->lower : 1;
    if (o->marginal == MMCL_DIST_DEFAULT)
        o->marginal = real ? MMCL_DIST_NORMAL : MMCL_DIST_UNIFORM;
    if (o->coupling == MMCL_DIST_DEFAULT)
        o->coupling = box ? MMCL_DIST_LAPLACE : real ? MMCL_DIST_NORMAL : MMCL_DIST_VMF;
    fill_double(&o->marginal_scale, box ? side / 4 : 1);
    fill_double(&o->coupling_scale, o->coupling == MMCL_DIST_VMF ? 10 : 0.05 * side);
    fill_double(&o->marginal_beta, 3);
    fill_double(&o->coupling_beta, 3);
    fill_double(&o->slope, 0.2);
    o->condition_draws = o->condition_draws != 0 ? o->condition_draws : 25000;
    o->latent          = o->latent != 0 ? o->latent : 10;
    o->layers          = o->layers != 0 ? o->layers : 3;
}

static bool outside(double value, double low, double high)
{
    return !(value >= low && value <= high); /* NaN is outside */
}

static mmcl_status check_range(mmcl_context *context, const char *name, double value, double low, double high)
{
    if (outside(value, low, high))
        return mmcl__fail(context, MMCL_E_INVAL, "%s: %g, expected %g to %g", name, value, low, high);
    return MMCL_OK;
}

static mmcl_status check_positive(mmcl_context *context, const char *name, double value)
{
    if (outside(value, 1e-30, 1e30))
        return mmcl__fail(context, MMCL_E_INVAL, "%s: %g, expected a positive number", name, value);
    return MMCL_OK;
}

static mmcl_status check_sizes(mmcl_context *context, const mmcl_model_options *o)
{
    if (o->space == MMCL_SPACE_SPHERE && o->latent < 2)
        return mmcl__fail(context, MMCL_E_INVAL, "latent: %u, a sphere needs at least 2", o->latent);
    if (o->latent > MMCL_MAX_LATENTS || MMCL__MAX(o->private_x, o->private_t) > MMCL_MAX_LATENTS - o->latent)
        return mmcl__fail(context, MMCL_E_INVAL, "latent, private_x, private_t: %u, %u, %u; expected at most %d together on a side",
                          o->latent, o->private_x, o->private_t, MMCL_MAX_LATENTS);
    if (o->layers > 16)
        return mmcl__fail(context, MMCL_E_INVAL, "layers: %u, expected at most 16", o->layers);
    if (o->condition_draws > (uint64_t) 1 << 31)
        return mmcl__fail(context, MMCL_E_INVAL, "condition_draws: %llu, expected at most 2^31", (unsigned long long) o->condition_draws);
    return MMCL_OK;
}

static mmcl_status check_numbers(mmcl_context *context, const mmcl_model_options *o)
{
    if (!isfinite(o->lower) || !isfinite(o->upper) || !(o->lower < o->upper) || !isfinite(o->upper - o->lower))
        return mmcl__fail(context, MMCL_E_INVAL, "lower, upper: %g, %g; expected lower < upper", o->lower, o->upper);
    MMCL__TRY(check_positive(context, "marginal_scale", o->marginal_scale));
    MMCL__TRY(check_positive(context, o->coupling == MMCL_DIST_VMF ? "coupling_scale (kappa)" : "coupling_scale", o->coupling_scale));
    if (o->coupling == MMCL_DIST_VMF)
        MMCL__TRY(check_range(context, "coupling_scale (kappa)", o->coupling_scale, 1e-6, 1e8));
    MMCL__TRY(check_range(context, "marginal_beta", o->marginal_beta, 0.25, 32));
    MMCL__TRY(check_range(context, "coupling_beta", o->coupling_beta, 0.25, 32));
    MMCL__TRY(check_range(context, "private_dependence", o->private_dependence, 0, 1));
    if (o->condition_bound != 0)
        MMCL__TRY(check_range(context, "condition_bound", o->condition_bound, 1, 1e300));
    return check_range(context, "slope", o->slope, 1e-6, 1);
}

/* What a space does not have. */
static mmcl_status check_distributions(mmcl_context *context, const mmcl_model_options *o)
{
    const bool sphere = o->space == MMCL_SPACE_SPHERE;
    if (o->marginal == MMCL_DIST_VMF)
        return mmcl__fail(context, MMCL_E_INVAL, "marginal: vmf is a coupling, expected uniform, normal, laplace or gennorm");
    if (o->marginal == MMCL_DIST_UNIFORM && o->space == MMCL_SPACE_REAL)
        return mmcl__fail(context, MMCL_E_INVAL, "marginal: uniform does not exist on R^d, expected normal, laplace or gennorm");
    if (o->coupling == MMCL_DIST_UNIFORM || (o->coupling == MMCL_DIST_VMF && !sphere))
        return mmcl__fail(context, MMCL_E_INVAL, "coupling: %s is not one of the space %s, expected %snormal, laplace or gennorm",
                          names[o->coupling], spaces[o->space], sphere ? "vmf, " : "");
    if (o->correlation_matrix != NULL && o->correlation != 0)
        return mmcl__fail(context, MMCL_E_INVAL, "correlation, correlation_matrix: give one of them");
    if (outside(o->correlation, -1, 1) || o->correlation == 1 || 1 + (o->latent - 1.0) * o->correlation <= 1e-12)
        return mmcl__fail(context, MMCL_E_INVAL, "correlation: %g, not positive definite for %u components: expected above %g, below 1",
                          o->correlation, o->latent, o->latent > 1 ? -1 / (o->latent - 1.0) : -1.0);
    return MMCL_OK;
}

static mmcl_status check_direction(mmcl_context *context, const mmcl_model_options *o, bool marginal_given)
{
    if (o->direction != MMCL_DIRECTION_SYMMETRIC)
        return MMCL_OK;
    if (o->correlation != 0 || o->correlation_matrix != NULL)
        return mmcl__fail(context, MMCL_E_INVAL, "direction: symmetric needs independent components, but a correlation is given");
    if (o->space == MMCL_SPACE_BOX && marginal_given)
        return mmcl__fail(context, MMCL_E_INVAL, "marginal: follows from the coupling when the direction is symmetric in a box");
    if (o->space == MMCL_SPACE_SPHERE &&
        (o->marginal != MMCL_DIST_UNIFORM || (o->coupling != MMCL_DIST_VMF && o->coupling != MMCL_DIST_NORMAL)))
        return mmcl__fail(context, MMCL_E_INVAL,
                          "direction: symmetric on the sphere needs the marginal uniform and the coupling vmf or normal");
    return MMCL_OK;
}

mmcl_status mmcl__model_resolve(mmcl_context *context, mmcl_model_options *ours, const mmcl_model_options *theirs)
{
    MMCL__TRY(mmcl__import(context, ours, sizeof *ours, MMCL__V1(mmcl_model_options, mixing), theirs, "mmcl_model_options"));
    MMCL__TRY(check_choices(context, ours));
    bool marginal_given = ours->marginal != MMCL_DIST_DEFAULT && ours->marginal != MMCL_DIST_UNIFORM;
    fill_defaults(ours);
    MMCL__TRY(check_sizes(context, ours));
    MMCL__TRY(check_numbers(context, ours));
    MMCL__TRY(check_distributions(context, ours));
    MMCL__TRY(check_direction(context, ours, marginal_given));
    ours->struct_size = sizeof *ours;
    return MMCL_OK;
}
