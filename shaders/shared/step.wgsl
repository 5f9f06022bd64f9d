// What changes from one training step to the next: the seed of a run and the index of the step.

struct Step {
    seed: u32,
    index: u32,
    reserved_0: u32,
    reserved_1: u32,
}
