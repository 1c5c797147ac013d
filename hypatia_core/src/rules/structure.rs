//! Constants whose elements are known, and matrices whose structure is.

use super::rules;

rules! {
    "permute-of-literal"
        "(permute (literal ?v ?t ?d) ?p)" => "(literal {permuted-elements ?v ?p} ?t ?d)" BitExact;
        "the elements of a constant are known in any order"; "v: elements[2,3] t: f32 d: 0 p: [1,0]";
    "reshape-of-literal"
        "(reshape (literal ?v ?t ?d) ?s)" => "(literal {reshaped-elements ?v ?s} ?t ?d)" BitExact;
        "the elements of a constant are known in any shape"; "v: elements[2,3] t: f32 d: 0 s: [3,2]";
    "product-by-a-constant-table"
        "(matmul (reshape (matmul ?x (literal ?v ?t ?d)) ?s) ?y)"
        => "(reshape (bilinear (reshape ?x {rows-of ?x ?s}) (reshape ?y {without-column ?y}) {table ?v ?s})
            {shape (matmul (reshape (matmul ?x (literal ?v ?t ?d)) ?s) ?y)})" Reassociates
        if "is-sparse ?v", "depends-on-all ?v ?s";
        "Σⱼ (Σᵢ xᵢ eᵢⱼₖ) yⱼ, without the terms that are zero";
        "x: f32[3,2] v: elements[2,4] t: f32 d: 0 s: [3,2,2] y: f32[3,2,1]";
    "product-by-a-constant-table-from-the-left"
        "(matmul ?y (reshape (matmul ?x (literal ?v ?t ?d)) ?s))"
        => "(reshape (bilinear (reshape ?x {rows-of ?x ?s}) (reshape ?y {without-row ?y}) {table-from-the-left ?v ?s})
            {shape (matmul ?y (reshape (matmul ?x (literal ?v ?t ?d)) ?s))})" Reassociates
        if "is-sparse ?v", "depends-on-all-from-the-left ?v ?s";
        "Σⱼ yⱼ (Σᵢ xᵢ eᵢⱼₖ), without the terms that are zero";
        "x: f32[3,2] v: elements[2,4] t: f32 d: 0 s: [3,2,2] y: f32[3,1,2]";
    "outer-product-by-a-constant-table"
        "(matmul (reshape (matmul ?x ?y) ?s) (literal ?v ?t ?d))"
        => "(reshape (bilinear (reshape ?x {without-column ?x}) (reshape ?y {without-row ?y}) {table-of-outer ?v ?x ?y})
            {shape (matmul (reshape (matmul ?x ?y) ?s) (literal ?v ?t ?d))})" Reassociates
        if "is-sparse ?v", "outer-depends-on-all ?v ?x ?y";
        "Σᵢⱼ (xᵢ yⱼ) eᵢⱼₖ, without the terms that are zero";
        "x: f32[3,2,1] y: f32[3,1,2] s: [3,4] v: elements[4,2] t: f32 d: 0";
    "broadcast-product-by-a-constant-table"
        "(matmul (reshape (mul ?x ?y) ?s) (literal ?v ?t ?d))"
        => "(reshape (bilinear (reshape ?x {without-column ?x}) (reshape ?y {without-row ?y}) {table-of-outer ?v ?x ?y})
            {shape (matmul (reshape (mul ?x ?y) ?s) (literal ?v ?t ?d))})" Reassociates
        if "is-sparse ?v", "outer-depends-on-all ?v ?x ?y";
        "Σᵢⱼ (xᵢ yⱼ) eᵢⱼₖ, without the terms that are zero";
        "x: f32[3,2,1] y: f32[3,1,2] s: [3,4] v: elements[4,2] t: f32 d: 0";
    "product-by-a-degenerate-table"
        "(matmul (reshape (matmul ?x (literal ?v ?t ?d)) ?s) ?y)"
        => "(reshape (bilinear (reshape ?x {rows-of ?x ?s}) (reshape ?y {without-column ?y}) {table ?v ?s})
            {shape (matmul (reshape (matmul ?x (literal ?v ?t ?d)) ?s) ?y)})" RealsOnly
        if "is-sparse ?v";
        "Σⱼ (Σᵢ xᵢ eᵢⱼₖ) yⱼ, without the terms that are zero for finite x and y";
        "x: f32[3,2] v: elements[2,4] t: f32 d: 0 s: [3,2,2] y: f32[3,2,1]";
}
