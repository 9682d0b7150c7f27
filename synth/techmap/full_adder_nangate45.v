// Full adders found in the logic become FA_X1 cells; those with a constant input stay logic.
(* techmap_celltype = "$fa" *)
module _resilin_fa (A, B, C, X, Y);
parameter WIDTH = 1;
input [WIDTH-1:0] A, B, C;
output [WIDTH-1:0] X, Y;
parameter _TECHMAP_CONSTMSK_A_ = 0;
parameter _TECHMAP_CONSTMSK_B_ = 0;
parameter _TECHMAP_CONSTMSK_C_ = 0;
genvar i;
generate for (i = 0; i < WIDTH; i = i + 1) begin:g
  if (_TECHMAP_CONSTMSK_A_[i] || _TECHMAP_CONSTMSK_B_[i] || _TECHMAP_CONSTMSK_C_[i]) begin
    assign Y[i] = A[i] ^ B[i] ^ C[i];
    assign X[i] = (A[i] & B[i]) | (C[i] & (A[i] | B[i]));
  end else
    FA_X1 cell_fa (.A(A[i]), .B(B[i]), .CI(C[i]), .CO(X[i]), .S(Y[i]));
end endgenerate
endmodule
