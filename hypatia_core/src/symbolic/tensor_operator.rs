//! Tensor operators as the S-expressions know them: names with an arity, equal only by congruence.

/// A tensor operator: its name and how many arguments it takes.
#[derive(Debug)]
pub struct TensorOperator {
    pub name: &'static str,
    pub least: usize,
    pub most: usize,
    /// The arguments by name, for error messages.
    pub signature: &'static str,
}

/// Every tensor operator that is read. What holds between them is the tensor optimizer's to say.
pub const TENSOR_OPERATORS: &[TensorOperator] = &[
    TensorOperator {
        name: "matmul",
        least: 2,
        most: 2,
        signature: "a b",
    },
    TensorOperator {
        name: "linear",
        least: 2,
        most: 3,
        signature: "input weight [bias]",
    },
    TensorOperator {
        name: "transpose",
        least: 1,
        most: 3,
        signature: "a [dim0 dim1]",
    },
    TensorOperator {
        name: "softmax",
        least: 1,
        most: 2,
        signature: "a [dim]",
    },
    TensorOperator {
        name: "log_softmax",
        least: 1,
        most: 2,
        signature: "a [dim]",
    },
    TensorOperator {
        name: "layernorm",
        least: 1,
        most: 4,
        signature: "a [weight bias eps]",
    },
    TensorOperator {
        name: "batchnorm",
        least: 1,
        most: 6,
        signature: "a [weight bias mean variance eps]",
    },
    TensorOperator {
        name: "attention",
        least: 3,
        most: 4,
        signature: "query key value [mask]",
    },
    TensorOperator {
        name: "conv2d",
        least: 2,
        most: 7,
        signature: "input weight [bias stride padding dilation groups]",
    },
    TensorOperator {
        name: "embedding",
        least: 2,
        most: 2,
        signature: "weight indices",
    },
    TensorOperator {
        name: "dropout",
        least: 1,
        most: 2,
        signature: "a [p]",
    },
    TensorOperator {
        name: "mean",
        least: 1,
        most: 2,
        signature: "a [dim]",
    },
    TensorOperator {
        name: "sum",
        least: 1,
        most: 2,
        signature: "a [dim]",
    },
    TensorOperator {
        name: "variance",
        least: 1,
        most: 2,
        signature: "a [dim]",
    },
    TensorOperator {
        name: "concat",
        least: 2,
        most: 3,
        signature: "a b [dim]",
    },
    TensorOperator {
        name: "reshape",
        least: 2,
        most: 8,
        signature: "a sizes…",
    },
    TensorOperator {
        name: "permute",
        least: 2,
        most: 8,
        signature: "a dims…",
    },
    TensorOperator {
        name: "slice",
        least: 4,
        most: 4,
        signature: "a dim start end",
    },
];

/// The tensor operator of this name.
pub fn tensor_operator(name: &str) -> Option<&'static TensorOperator> {
    TENSOR_OPERATORS
        .iter()
        .find(|operator| operator.name == name)
}

impl PartialEq for TensorOperator {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for TensorOperator {}
